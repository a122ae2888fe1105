"""Several practitioners on one kit: each sees their own cases; joining, leaving, handing over."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.protocol.enrolment import Enrolled
from appliance.protocol.permits import Books, Joined, Renewed, recipient_digest
from appliance.protocol.requests import Enrol, LetIn, Renew
from appliance.records.files import from_json, load_fact, save_fact
from appliance.records.signing import open_note
from appliance.vault.keys import PrivateKeys, lock
from tests.support.pages import NOW, PASSPHRASE, Page, WebKit, practitioner
from web_ui.wording.people import named

OTHER_WORDS = "saddle monsoon gravel bishop turnip easel"
OTHER = PrivateKeys.generate("practitioner")


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    """A kit with two practitioners, each under words of their own."""
    with WebKit(tmp_path) as made:
        made.enrol(0)
        enrolled = load_fact(made.home.kit / "enrolled.json", Enrolled)
        assert enrolled
        both = (*enrolled.practitioners, OTHER.card())
        save_fact(
            made.home.kit / "enrolled.json",
            Enrolled(service=enrolled.service, practitioners=both),
        )
        (made.home.keys / OTHER.card().name).mkdir()
        sealed = lock(OTHER, OTHER_WORDS, work=1)
        (made.home.keys / OTHER.card().name / "identity.age").write_bytes(sealed)
        made.unlock()
        yield made


def change_over(kit: WebKit, words: str) -> None:
    kit.browser.submit("/cases", action="/lock")
    kit.pass_by(1)
    page = kit.browser.submit("/unlock", passphrase=words, time=NOW.isoformat())
    assert page.path == "/cases", page.words
    kit.recorder.carry_out()


def join(kit: WebKit, case: str, keys: PrivateKeys, **fields: object) -> Page:
    url = f"/cases/{case}/team"
    sent: dict[str, object] = {"who": keys.card().name, "confirm": "y"}
    return kit.browser.submit(url, action=f"{url}/join", **(sent | fields))


def leave(kit: WebKit, case: str, keys: PrivateKeys, **fields: object) -> Page:
    url = f"/cases/{case}/team"
    sent: dict[str, object] = {"who": keys.card().name, "confirm": "y"}
    return kit.browser.submit(url, action=f"{url}/leave", **(sent | fields))


def known_to_recorder(kit: WebKit, case: str) -> None:
    """The recorder has filmed this case before."""
    books = Books(recipients={case: recipient_digest(kit.recipient(case))})
    save_fact(kit.home.kit / "books.json", books)


def test_a_practitioner_sees_no_other_practitioners_case(kit: WebKit) -> None:
    case = kit.make_case("R and K")
    change_over(kit, OTHER_WORDS)
    assert "R and K" not in kit.browser.get("/cases").words
    for page in ("", "/team", "/shares", "/course", "/consent"):
        assert kit.browser.get(f"/cases/{case}{page}").status == 404


def test_a_colleague_who_joins_opens_the_case_with_their_own_words(kit: WebKit) -> None:
    case = kit.make_case("R and K")
    assert named(OTHER.card().name, {}) in join(kit, case, OTHER).words
    # The recorder hears of it: from now on it removes this family's films on their word, too.
    (told,) = (one for one in kit.recorder.requests() if isinstance(one, LetIn))
    text, _ = open_note(told.note, [practitioner().signer.verifier])
    joined = from_json(text, Joined)
    assert (joined.case, joined.verifier) == (case, str(OTHER.signer.verifier))
    kit.browser.submit(f"/cases/{case}/arm")
    permit = kit.recorder.permit()
    assert permit is not None and str(OTHER.signer.verifier) in permit.people
    change_over(kit, OTHER_WORDS)
    assert "R and K" in kit.browser.get("/cases").words
    assert kit.browser.get(f"/cases/{case}").status == 200


@pytest.mark.parametrize("fields", [{"who": "practitioner-nobody"}, {"confirm": None}])
def test_nobody_joins_or_leaves_unasked(kit: WebKit, fields: dict[str, object]) -> None:
    case = kit.make_case("R and K")
    assert join(kit, case, OTHER, **fields).status == 400
    assert len(kit.open_case(case).team) == 1
    join(kit, case, OTHER)
    assert leave(kit, case, OTHER, **fields).status == 400
    assert leave(kit, case, practitioner()).status == 400
    assert len(kit.open_case(case).team) == 2


def test_who_was_handed_the_case_takes_it_from_who_gave_it(kit: WebKit) -> None:
    case = kit.make_case("R and K")
    before = kit.recipient(case)
    join(kit, case, OTHER)
    change_over(kit, OTHER_WORDS)
    page = leave(kit, case, practitioner())
    assert named(practitioner().card().name, {}) not in page.words.partition("Add a colleague")[0]
    assert kit.recipient(case) != before
    change_over(kit, PASSPHRASE)
    assert "R and K" not in kit.browser.get("/cases").words
    assert kit.browser.get(f"/cases/{case}").status == 404


def test_the_kit_is_disarmed_and_a_press_confirms_the_new_key(kit: WebKit) -> None:
    case = kit.make_case("R and K")
    join(kit, case, OTHER)
    known_to_recorder(kit, case)
    kit.browser.submit(f"/cases/{case}/arm")
    assert kit.recorder.permit()
    page = leave(kit, case, OTHER)
    assert kit.recorder.permit() is None
    assert "Confirm the new key" in page.words
    assert "has a new key" in kit.browser.get(f"/cases/{case}/arm").words
    url = f"/cases/{case}/team"
    page = kit.browser.submit(url, action=f"{url}/press")
    assert "Press the button on the kit within 60 seconds" in page.words
    asked = [request for request in kit.recorder.requests() if isinstance(request, Renew)][-1]
    text, _by = open_note(asked.note, [practitioner().signer.verifier])
    assert from_json(text, Renewed) == Renewed(
        kit=kit.recorder.status.kit, case=case, recipient=kit.recipient(case)
    )
    kit.recorder.show(answers={asked.id: "timed-out"})
    assert "The button was not pressed" in kit.browser.get(page.path).words
    known_to_recorder(kit, case)
    kit.recorder.show(answers={asked.id: "done"})
    assert kit.browser.get(page.path).path == url
    assert "has a new key" not in kit.browser.get(f"/cases/{case}/arm").words


def test_a_case_that_was_never_filmed_needs_no_press(kit: WebKit) -> None:
    case = kit.make_case("R and K")
    join(kit, case, OTHER)
    assert "Confirm the new key" not in leave(kit, case, OTHER).words
    assert "has a new key" not in kit.browser.get(f"/cases/{case}/arm").words


# --- Bringing a colleague ------------------------------------------------------------------------


def bring(kit: WebKit, keys: PrivateKeys, **fields: object) -> Page:
    sent: dict[str, object] = {
        "how": "bring",
        "practitioner_key_file": (io.BytesIO(lock(keys, OTHER_WORDS, work=1)), "k.key"),
        "passphrase": OTHER_WORDS,
    }
    return kit.browser.submit("/practitioners", **(sent | fields))


def test_a_colleague_is_brought_and_nobodys_key_is_lost(kit: WebKit) -> None:
    third = PrivateKeys.generate("practitioner")
    page = bring(kit, third)
    assert "Press the button on the kit" in page.words
    (asked,) = [request for request in kit.recorder.requests() if isinstance(request, Enrol)]
    assert asked.practitioner == third.card()
    kit.recorder.show(answers={asked.id: "done"})
    assert kit.browser.get(page.path).path == "/practitioners"
    kept = {path.parent.name for path in kit.home.keys.glob("*/identity.age")}
    assert kept == {practitioner().card().name, OTHER.card().name, third.card().name}


def test_who_was_brought_and_never_confirmed_leaves_no_key_behind(kit: WebKit) -> None:
    first, second = PrivateKeys.generate("practitioner"), PrivateKeys.generate("practitioner")
    bring(kit, first)
    bring(kit, second)
    kept = {path.parent.name for path in kit.home.keys.glob("*/identity.age")}
    assert first.card().name not in kept and len(kept) == 3


def test_words_for_a_colleague_are_shown_once(kit: WebKit) -> None:
    page = kit.browser.submit("/practitioners", how="make")
    assert "only see them now" in page.words
    page = kit.browser.post("/practitioners/press", page.form("/practitioners/press"))  # type: ignore[arg-type]
    assert "Press the button on the kit" in page.words


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"passphrase": "not these words at all"}, "does not open"),
        (
            {"practitioner_key_file": (io.BytesIO(OTHER.text().encode()), "k")},
            "not locked with a passphrase",
        ),
        ({"practitioner_key_file": (io.BytesIO(lock(OTHER, OTHER_WORDS, work=1)), "k")}, "already"),
    ],
)
def test_a_key_that_cannot_be_a_colleagues_is_refused(
    kit: WebKit, fields: dict[str, object], said: str
) -> None:
    page = bring(kit, PrivateKeys.generate("practitioner"), **fields)
    assert page.status >= 400 and said in page.words
    assert not [request for request in kit.recorder.requests() if isinstance(request, Enrol)]
