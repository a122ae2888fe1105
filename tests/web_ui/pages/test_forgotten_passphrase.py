"""A forgotten passphrase, on the page: a new card, what to do while waiting, and being let in."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.age.identities import generate_identity
from appliance.age.sealing import seal
from appliance.protocol.cards import Card, KitCard
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.orders import Readmission
from appliance.protocol.permits import recipient_digest
from appliance.protocol.readmission import ReadmissionRefusal, key_file, key_path
from appliance.protocol.requests import Enrol
from appliance.records.files import from_json, load_fact, new_id, save, save_fact, to_json
from appliance.vault.keys import PrivateKeys, lock, unlock
from tests.support.pages import NOW, PASSPHRASE, Page, WebKit, practitioner, service
from tests.support.pseudo import OPEN, catalogue, not_translated
from tests.web_ui.wording.test_language import DATA, ids, speak
from web_ui.keeper import Keeper
from web_ui.session.enrolment import keep_new_card
from web_ui.wording.people import named

NEW = PrivateKeys.generate("practitioner")
NEW_WORDS = "saddle monsoon gravel bishop turnip easel"


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    """A locked kit with one family's case, in the browser that has unlocked it before."""
    with WebKit(tmp_path) as made:
        status = made.recorder.status
        save_fact(made.home.kit / "kit.json", KitCard(id=status.kit, verifier=status.verifier))
        made.unlock()
        made.make_case("R and K")
        made.browser.submit("/cases", action="/lock")
        made.pass_by(1)
        yield made


def the_case(kit: WebKit) -> str:
    return kit.parts.cases.records()[0].id


def enrol(kit: WebKit, *cards: Card) -> None:
    """As the recorder does after a press."""
    before = kit.parts.enrolled
    assert before
    every = (*before.practitioners, *cards)
    save_fact(kit.home.kit / "enrolled.json", Enrolled(service=before.service, practitioners=every))


def has_new_card(kit: WebKit) -> None:
    """The new card is made, under NEW_WORDS, and enrolled by a press."""
    directory = kit.home.keys / NEW.card().name
    directory.mkdir()
    (directory / "identity.age").write_bytes(lock(NEW, NEW_WORDS, work=1))
    keep_new_card(kit.home, NEW.card())
    enrol(kit, NEW.card())


def comes(kit: WebKit, case: str, identity: str = "", number: int = 1) -> None:
    """What the service sent has come in: the case's key, or another, for the new card."""
    if not identity:
        opened = kit.parts.cases.open(
            case, practitioner(), [practitioner().signer.verifier, NEW.signer.verifier]
        )
        identity = opened.identity.secret_text()
    sealed = seal(f"{identity}\n".encode(), [NEW.card().sealing_key()])
    order = Readmission(
        number=number,
        kit=kit.recorder.status.kit,
        case=case,
        practitioner=NEW.card().name,
        recipient=recipient_digest(NEW.card().recipient),
        key=key_file(1, NEW.card()),
        sha256=hashlib.sha256(sealed).hexdigest(),
        at=NOW,
    )
    note = service().signer.sign(f"{to_json(order).decode()}\n")
    save(kit.home.inbox / f"order-{number:06}", note.encode())
    save(key_path(kit.home, number), sealed)


def unlock_with(kit: WebKit, words: str) -> Page:
    page = kit.browser.submit("/unlock", passphrase=words, time=NOW.isoformat())
    kit.recorder.carry_out()
    kit.pass_by(1)
    return page


def logged(kit: WebKit) -> str:
    return (kit.home.log("web") / "log").read_text()


def test_who_forgot_makes_a_new_card_with_a_press_and_is_told_what_to_do(kit: WebKit) -> None:
    assert "I have forgotten my passphrase" in kit.browser.get("/unlock").words
    assert "Nothing is lost" in kit.browser.get("/forgotten").words
    shown = kit.browser.submit("/forgotten")
    words = shown.text.partition('id="words">')[2].partition("<")[0]
    assert "once your service has let you back in" in shown.words
    asked = shown.form("/forgotten/press")
    waiting = kit.browser.post("/forgotten/press", {"csrf_token": asked["csrf_token"][0]})
    assert "Press the button on the kit within 60 seconds" in waiting.words
    request = [r for r in kit.recorder.requests() if isinstance(r, Enrol)][-1]
    card = request.practitioner
    sealed = (kit.home.keys / card.name / "identity.age").read_bytes()
    assert unlock(sealed, words).card() == card
    # Until somebody has pressed it is nobody's.
    assert card.name not in kit.browser.get("/forgotten").text
    assert kit.browser.get(f"/practitioners/{card.name}.pub").status == 404
    enrol(kit, card)
    kit.recorder.show(answers={request.id: "done"})
    told = kit.browser.get("/forgotten/press")
    assert told.path == "/forgotten"
    for sentence in (
        "Your new ID file is on this kit. It is waiting for your service.",
        "Ask your service to let you back in. They need this ID file",
        kit.recorder.status.kit,
        "Until then you cannot open any family or film",
    ):
        assert sentence in told.words
    assert from_json(kit.browser.get(f"/practitioners/{card.name}.pub").text, Card) == card
    assert "new-card-made" in logged(kit)
    assert words not in logged(kit)


def test_the_old_words_go_on_working_and_the_old_card_is_no_new_one(kit: WebKit) -> None:
    has_new_card(kit)
    assert unlock_with(kit, PASSPHRASE).path == "/cases"
    assert "R and K" in kit.browser.get("/cases").words
    assert practitioner().card().name not in kit.browser.get("/forgotten").text


def test_nobody_starts_it_from_a_browser_that_never_unlocked_this_kit(kit: WebKit) -> None:
    has_new_card(kit)
    stranger = kit.another_browser()
    page = stranger.get("/forgotten")
    assert "can only start this on a phone, tablet or computer" in page.words
    assert NEW.card().name not in page.text
    assert 'action="/forgotten"' not in page.text
    token = stranger.get("/unlock").form("/unlock")["csrf_token"][0]
    for path in ("/forgotten", "/forgotten/press"):
        assert stranger.post(path, {"csrf_token": token}).path == "/unlock"
    assert stranger.get(f"/practitioners/{NEW.card().name}.pub").path == "/unlock"
    assert sorted(path.name for path in kit.home.keys.glob("practitioner-*")) == sorted(
        [practitioner().card().name, NEW.card().name]
    )
    assert not any(
        isinstance(r, Enrol) and r.practitioner == NEW.card() for r in kit.recorder.requests()
    )


def test_a_kit_that_is_not_set_up_has_nothing_to_forget(tmp_path: Path) -> None:
    with WebKit(tmp_path) as new:
        assert new.browser.get("/forgotten").path == "/setup"


def test_a_new_card_opens_nothing_until_the_service_has_let_it_in(kit: WebKit) -> None:
    """A press and a lost tablet make nobody a practitioner: the service does."""
    has_new_card(kit)
    asked = len(kit.recorder.requests())
    page = unlock_with(kit, NEW_WORDS)
    assert page.path == "/forgotten"
    assert "Until then you cannot open any family or film" in page.words
    for path in ("/cases", "/cases/new", f"/cases/{the_case(kit)}", "/practitioners", "/service"):
        assert kit.browser.get(path).path == "/forgotten", path
    token = page.form("/lock")["csrf_token"][0]
    made = kit.browser.post(
        "/cases/new", {"csrf_token": token, "label": "Mine", "check_word": "lantern"}
    )
    assert made.path == "/forgotten"
    assert len(kit.parts.cases.records()) == 1
    assert kit.browser.get(f"/cases/{the_case(kit)}/films/{new_id()}/video").status == 403
    # Nor does it say what time it is.
    assert len(kit.recorder.requests()) == asked


def test_a_new_card_that_nobody_confirmed_cannot_say_that_the_kit_is_at_base(kit: WebKit) -> None:
    """Else whoever pressed for a card of their own would have a network tell the time."""
    has_new_card(kit)
    unlock_with(kit, NEW_WORDS)
    page = kit.browser.get("/sending")
    assert "Use the cable" in page.words
    token = page.form("/lock")["csrf_token"][0]
    sent = kit.browser.post("/sending/base", {"csrf_token": token, "base": "y"})
    assert sent.path == "/forgotten"
    assert not kit.home.at_base.exists()
    assert kit.browser.submit("/sending", action="/lock").path == "/unlock"


def test_colleagues_see_which_card_waits(kit: WebKit) -> None:
    has_new_card(kit)
    unlock_with(kit, PASSPHRASE)
    words = kit.browser.get("/practitioners").words
    assert words.count("a new ID file, waiting for your service") == 1


def test_at_the_next_unlock_the_family_is_there_again(kit: WebKit) -> None:
    has_new_card(kit)
    comes(kit, the_case(kit))
    assert "Your service has let your new ID file in" in kit.browser.get("/unlock").words
    assert "Your service has answered" in kit.browser.get("/forgotten").words
    page = unlock_with(kit, NEW_WORDS)
    assert "Your service has let you back in. You can open 1 family." in page.words
    assert "R and K" in page.words
    team = kit.browser.get(f"/cases/{the_case(kit)}/team").words
    for card in (NEW.card(), practitioner().card()):
        assert named(card.name, {}) in team
    assert '"event":"readmitted"' in logged(kit).replace(" ", "")
    # Said once, and over with.
    kit.browser.submit("/cases", action="/lock")
    assert "Your service has let your new ID file in" not in kit.browser.get("/unlock").words
    kit.pass_by(1)
    again = unlock_with(kit, NEW_WORDS)
    assert "R and K" in again.words and "let you in again" not in again.words
    assert logged(kit).count('"readmitted"') == 1


def test_the_film_to_the_case_needs_no_other_press(kit: WebKit) -> None:
    """The case keeps its key: the recorder has nothing new to believe."""
    before = kit.recipient(the_case(kit))
    has_new_card(kit)
    comes(kit, the_case(kit))
    unlock_with(kit, NEW_WORDS)
    assert kit.recipient(the_case(kit)) == before
    assert "Confirm the new key" not in kit.browser.get(f"/cases/{the_case(kit)}/team").words


def test_what_comes_while_the_page_is_unlocked_is_taken_in_by_itself(kit: WebKit) -> None:
    has_new_card(kit)
    unlock_with(kit, NEW_WORDS)
    keeper = Keeper(kit.parts)
    keeper.look()
    assert "R and K" not in kit.browser.get("/cases").words
    comes(kit, the_case(kit))
    keeper.look()
    page = kit.browser.get("/cases")
    assert "R and K" in page.words
    assert "You can open 1 family" in page.words


def test_a_colleague_who_unlocks_takes_nothing_of_it_in(kit: WebKit) -> None:
    has_new_card(kit)
    comes(kit, the_case(kit))
    unlock_with(kit, PASSPHRASE)
    assert "let you in again" not in kit.browser.get("/cases").words
    assert len(kit.open_case(the_case(kit)).team) == 1
    assert "readmi" not in logged(kit)


def test_a_refused_order_is_told_in_words_and_written_down_once(kit: WebKit) -> None:
    has_new_card(kit)
    comes(kit, the_case(kit), generate_identity().secret_text())
    page = unlock_with(kit, NEW_WORDS)
    assert ReadmissionRefusal.OTHER_KEY.sentence in page.words
    assert "R and K" not in page.words
    assert logged(kit).count("readmission-refused") == 1
    assert ReadmissionRefusal.OTHER_KEY.value in logged(kit)
    Keeper(kit.parts).look()
    assert logged(kit).count("readmission-refused") == 1
    assert page.path == "/forgotten"


def test_a_withdrawal_that_came_with_it_goes_first(kit: WebKit) -> None:
    case = the_case(kit)
    has_new_card(kit)
    comes(kit, case)
    order = {
        "attune": "service-order/v1",
        "number": 2,
        "kit": kit.recorder.status.kit,
        "case": case,
        "film": "",
        "at": NOW.isoformat(),
    }
    text = str(order).replace("'", '"')
    save(kit.home.inbox / "order-000002", service().signer.sign(f"{text}\n").encode())
    page = unlock_with(kit, NEW_WORDS)
    assert ReadmissionRefusal.WITHDRAWN.sentence in page.words
    assert list(kit.home.case(case).glob("identity-*")) == []
    # No certificate says that the key is gone while sync has not taken it out of its inbox.
    kit.browser.submit("/forgotten", action="/lock")
    unlock_with(kit, PASSPHRASE)
    told = kit.browser.get(f"/cases/{case}/certificate").words
    key_path(kit.home, 1).unlink()
    assert kit.browser.get(f"/cases/{case}/certificate").words != told


def test_an_inbox_full_of_rubbish_keeps_nobody_from_unlocking(kit: WebKit) -> None:
    has_new_card(kit)
    for number, data in enumerate((b"", b"\xff", b"{}\n\nx", new_id().encode() * 9000), 1):
        save(kit.home.inbox / f"order-{number:06}", data)
    page = unlock_with(kit, NEW_WORDS)
    assert page.path == "/forgotten"
    assert page.words.count(ReadmissionRefusal.UNREADABLE.sentence) == 1


@pytest.mark.slow
def test_all_of_it_speaks_the_language_that_was_chosen(kit: WebKit, tmp_path: Path) -> None:
    has_new_card(kit)
    speak(kit, catalogue(tmp_path / "words"))
    kit.recorder.show(state="idle")
    ours = {NEW.card().name, practitioner().card().name} | ids(kit)
    for words in ("", NEW_WORDS):
        if words:
            comes(kit, the_case(kit), generate_identity().secret_text())
            unlock_with(kit, words)
        page = kit.browser.get("/forgotten")
        assert page.status == 200 and OPEN in page.text
        assert not not_translated(page.text, DATA | ours)


def test_who_lost_the_new_words_too_makes_another_card(kit: WebKit) -> None:
    has_new_card(kit)
    assert "Have you lost the new words too?" in kit.browser.get("/forgotten").words
    kit.browser.submit("/forgotten")
    brought = {path.name for path in kit.home.keys.glob("practitioner-*")}
    # The one that is enrolled stays; the one that waits for a press is the third.
    assert len(brought) == 3 and NEW.card().name in brought
    card = load_fact(kit.home.keys / (brought - _known(kit)).pop() / "card.json", Card)
    assert card and card.role == "practitioner"


def _known(kit: WebKit) -> set[str]:
    enrolled = kit.parts.enrolled
    assert enrolled
    return {card.name for card in enrolled.practitioners}
