"""The shared review itself is filmed: a film of its own kind, with an agreement of its own."""

from datetime import timedelta
from typing import Literal, get_args, get_type_hints

import pytest

from appliance.casework.clips import choose, shelf
from appliance.casework.consent import AGREED, PURPOSES, Consent, Purpose, ends_with
from appliance.casework.copies import CopyRefusal, judge
from appliance.film.manifest import FilmStarted, read_manifest
from appliance.protocol.permits import Permit
from appliance.protocol.requests import Stop
from appliance.selftest.kit import wait_for
from tests.support import films
from tests.support.moments import keep_clip
from tests.support.pages import CONSENT, NOW, WebKit
from tests.support.places import PACKAGES, ROOT

BOTH = ["filming", "filming-review"]
KINDS: tuple[Literal["visit", "review"], ...] = ("visit", "review")


@pytest.fixture(scope="module")
def film() -> bytes:
    return films.film(60)


def test_it_is_armed_for_by_itself_and_the_permit_says_so(kit: WebKit) -> None:
    case = kit.make_case(people__0__purposes=BOTH)
    page = kit.browser.get(f"/cases/{case}/arm?kind=review")
    assert "film of the shared review itself" in page.words
    kit.browser.submit(f"/cases/{case}/arm?kind=review", action=f"/cases/{case}/arm")
    permit = kit.recorder.permit()
    assert permit and permit.kind == "review"
    kit.browser.submit(f"/cases/{case}/arm")
    permit = kit.recorder.permit()
    assert permit and permit.kind == "visit"


@pytest.mark.parametrize(("agreed", "kind"), [("filming", "review"), ("filming-review", "visit")])
def test_one_agreement_does_not_stand_for_the_other(kit: WebKit, agreed: str, kind: str) -> None:
    case = kit.make_case(people__0__purposes=[agreed])
    page = kit.browser.get(f"/cases/{case}/arm?kind={kind}")
    assert "No one has agreed to filming" in page.words
    token = kit.browser.get("/cases/new").form("/cases/new")["csrf_token"]
    sent: dict[str, object] = {"csrf_token": token, "kind": kind, "films": "1"}
    assert kit.browser.post(f"/cases/{case}/arm", sent).status == 400
    assert kit.recorder.permit() is None


def test_it_is_offered_where_everybody_agreed(kit: WebKit, film: bytes) -> None:
    for agreed in (["filming"], BOTH):
        case = kit.make_case(people__0__purposes=agreed)
        opened = kit.open_case(case)
        recording = kit.recorder.write_film(case, kit.recipient(case), stream=film)
        choose(opened, keep_clip(opened, recording, film, NOW).id)
        page = kit.browser.get(f"/cases/{case}/review")
        assert ("Film this review" in page.words) is (agreed == BOTH)


def test_it_waits_for_no_review_of_its_own(kit: WebKit, film: bytes) -> None:
    case = kit.make_case(people__0__purposes=BOTH)
    kit.recorder.write_film(case, kit.recipient(case), stream=film, kind="review")
    assert "Nothing is waiting" in kit.browser.get(f"/cases/{case}/course").words
    assert "Shared review." in kit.browser.get(f"/cases/{case}").words
    kit.recorder.write_film(case, kit.recipient(case), stream=film)
    day = (NOW + timedelta(days=14)).day
    assert f"{day} " in kit.browser.get(f"/cases/{case}/course").words.partition("Review by")[2]


def test_taking_it_back_closes_the_films_of_reviews_and_no_others(kit: WebKit, film: bytes) -> None:
    case = kit.make_case(people__0__purposes=BOTH)
    of = {
        kind: kit.recorder.write_film(case, kit.recipient(case), stream=film, kind=kind)
        for kind in KINDS
    }
    url = f"/cases/{case}/withdraw"
    plays = {kind: f"/cases/{case}/films/{name}/video" for kind, name in of.items()}
    assert [kit.browser.get(plays[kind]).status for kind in of] == [200, 200]
    kit.browser.submit(url, action=f"{url}/purpose", purposes=["filming-review"])
    assert [kit.browser.get(plays[kind]).status for kind in of] == [200, 410]


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("kind", ["visit", "review"])
@pytest.mark.parametrize("filming", [False, True])
def test_what_is_taken_back_ends_what_is_armed_or_filmed_for_it_and_nothing_else(
    kit: WebKit, kind: Literal["visit", "review"], purpose: Purpose, filming: bool
) -> None:
    """A family that took 'filming the review' back went on being filmed, at the next press too."""
    case = kit.make_case(people__0__purposes=list(PURPOSES))
    kit.browser.submit(f"/cases/{case}/arm?kind={kind}", action=f"/cases/{case}/arm")
    permit = kit.recorder.permit()
    assert permit is not None and permit.kind == kind
    if filming:
        kit.recorder.show(state="filming", case=case, permit=permit.id)
    url = f"/cases/{case}/withdraw"
    kit.browser.submit(url, action=f"{url}/purpose", purposes=[purpose])
    ends = purpose in ("filming", {"visit": "filming", "review": "filming-review"}[kind])
    assert (kit.recorder.permit() is None) is ends
    if filming:
        assert any(isinstance(asked, Stop) for asked in kit.recorder.requests()) is ends
    # Armed anew only for what is agreed to still.
    kit.recorder.show(state="idle", case="", permit="")
    for again in ("visit", "review"):
        page = kit.browser.get(f"/cases/{case}/arm?kind={again}")
        stays = purpose not in ("filming", {"visit": "filming", "review": "filming-review"}[again])
        assert ("withdrew consent" not in page.words) is stays


def test_a_damaged_permit_keeps_nobody_from_ending_a_film(kit: WebKit) -> None:
    """It does not say what is filmed: then whatever is taken back ends it."""
    case = kit.make_case(people__0__purposes=list(PURPOSES))
    kit.browser.submit(f"/cases/{case}/arm")
    (kit.home.permits / "current").write_text("not a permit")
    kit.recorder.show(state="filming", case=case)
    url = f"/cases/{case}/withdraw"
    kit.browser.submit(url, action=f"{url}/purpose", purposes=["filming-review"])
    assert any(isinstance(asked, Stop) for asked in kit.recorder.requests())


def test_moments_of_a_review_are_not_copied_or_shared_once_filming_it_was_taken_back(
    kit: WebKit, film: bytes
) -> None:
    case = kit.make_case(people__0__purposes=list(PURPOSES))
    opened = kit.open_case(case)
    found = opened.read_with_digest(Consent)
    assert found is not None
    of = {
        kind: kit.recorder.write_film(
            case, kit.recipient(case), stream=film, kind=kind, consent=found[1]
        )
        for kind in KINDS
    }
    started = {kind: read_manifest(kit.home.recording(name)).started for kind, name in of.items()}
    uses: tuple[Purpose, ...] = ("copies", "supervisor", "peers", "training")
    assert not any(judge(opened, started[kind], NOW, use) for kind in KINDS for use in uses)
    url = f"/cases/{case}/withdraw"
    kit.browser.submit(url, action=f"{url}/purpose", purposes=["filming-review"])
    for use in uses:
        assert judge(opened, started["review"], NOW, use) is CopyRefusal.NOT_AGREED
        assert judge(opened, started["visit"], NOW, use) is None


def test_every_kind_of_film_and_of_permit_stands_in_the_one_table() -> None:
    kinds = {*get_args(get_type_hints(FilmStarted)["kind"])}
    assert kinds == set(AGREED) and set(get_args(get_type_hints(Permit)["kind"])) <= kinds
    assert all(AGREED[kind] in ends_with(kind) for kind in AGREED)


def test_nothing_else_spells_which_agreement_a_kind_needs() -> None:
    """A second list is how 'filming the review' was forgotten."""
    spelt = [
        path.relative_to(ROOT).as_posix()
        for part in PACKAGES
        for path in sorted((ROOT / part).rglob("*.py"))
        if '"filming-review"' in path.read_text()
    ]
    # The table, and the words in which it is asked.
    assert spelt == ["appliance/casework/consent.py", "web_ui/wording/purposes.py"]


def test_what_is_kept_of_a_filmed_review_is_never_shown_to_the_family_in_its_next_one(
    kit: WebKit, film: bytes
) -> None:
    case = kit.make_case(people__0__purposes=[*BOTH, "supervisor"])
    of = {
        kind: kit.recorder.write_film(case, kit.recipient(case), stream=film, kind=kind)
        for kind in KINDS
    }
    for name in of.values():
        url = f"/cases/{case}/films/{name}"
        kit.browser.submit(url, action=f"{url}/clips", start="0", end="0.5")
        kit.browser.submit(url, action=f"{url}/stills", at="0.2")
    holder = kit.parts.session.of(kit.browser.token())
    assert holder
    wait_for("the clips", lambda: not holder.work.jobs(case), 60)
    stands = shelf(kit.open_case(case))
    assert {one.recording for one in (*stands.chosen, *stands.aside)} == {of["visit"]}
    assert {one.recording for one in stands.of_reviews} == {of["review"]}
    assert len(stands.chosen) == len(stands.of_reviews) == 2
    ours = [one.id for one in stands.of_reviews]
    # Not by a form of yesterday's either.
    token = kit.browser.get("/cases/new").form("/cases/new")["csrf_token"]
    for name in ours:
        place = f"/cases/{case}/moments/{name}/place"
        kit.browser.post(place, {"csrf_token": token, "to": "back"})
    for path in ("review", "review/show", "review/notes", "review/close", f"films/{of['visit']}"):
        page = kit.browser.get(f"/cases/{case}/{path}")
        assert page.status == 200 and not any(name in page.text for name in ours), path
    page = kit.browser.get(f"/cases/{case}/films/{of['review']}")
    assert all(name in page.text for name in ours) and "Put back" not in page.words
    # A supervisor may see them.
    assert all(name in kit.browser.get(f"/cases/{case}/shares").text for name in ours)


def test_a_film_of_the_review_has_its_own_length_and_says_who_sees_it(kit: WebKit) -> None:
    """It was as long as a film of the family: five minutes of an hour's talk."""
    case = kit.browser.submit("/cases/new", label="A", check_word="b").path.split("/")[2]
    kit.browser.submit(f"/cases/{case}/goals", goal="To notice")
    url = f"/cases/{case}/course"
    kit.browser.submit(url, action=f"{url}/arrange", supervisor="Dr Example")
    kit.browser.consent(case, **(CONSENT | {"people__0__purposes": BOTH}))
    consent = kit.open_case(case).read(Consent)
    assert consent and (consent.limit, consent.review_limit) == (300, 3600)
    assert consent.review_viewers == "Dr Example"
    receipt = kit.browser.get(f"/cases/{case}/consent/receipt").words
    assert "60 minutes, watched by my practitioner and Dr Example" in receipt
    for kind, limit in (("visit", 300), ("review", 3600)):
        page = kit.browser.get(f"/cases/{case}/arm?kind={kind}")
        assert ("60 minutes" in page.words) is (kind == "review")
        kit.browser.submit(f"/cases/{case}/arm?kind={kind}", action=f"/cases/{case}/arm")
        permit = kit.recorder.permit()
        assert permit and permit.limit == limit
    # Nobody who was not asked for it has it in their consent.
    kit.browser.consent(case, **CONSENT)
    consent = kit.open_case(case).read(Consent)
    assert consent and (consent.review_limit, consent.review_viewers) == (0, "")
