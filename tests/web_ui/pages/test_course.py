"""The course on the page: from the first goal to a top-up, and what is removed when."""

import json
from datetime import timedelta

import pytest

from appliance.casework.clips import choose
from appliance.casework.consent import Consent
from appliance.casework.course import Arranged
from appliance.casework.service_settings import parse, shipped
from appliance.protocol.case_record import withdrawal_note
from appliance.records.audit import check_chain
from appliance.records.files import new_id
from tests.support import films
from tests.support.moments import keep_clip, keep_still
from tests.support.pages import NOW, Page, WebKit
from web_ui.keeper import HOUR, Keeper

DAY = 86400.0


@pytest.fixture(scope="module")
def film() -> bytes:
    return films.film(60)


def goal_of(kit: WebKit, case: str) -> str:
    """The name of the field in which the case's one goal is rated."""
    form = kit.browser.get(f"/cases/{case}/course").text
    return form.partition('name="goal-')[2][:16]


def rated(kit: WebKit, case: str, value: int) -> dict[str, object]:
    return {f"goal-{goal_of(kit, case)}": str(value)}


def review(kit: WebKit, case: str, value: int = 5) -> None:
    opened = kit.open_case(case)
    choose(opened, keep_still(opened, new_id(), films.film(60), NOW).id)
    page = kit.browser.submit(
        f"/cases/{case}/review/close",
        strengths="She waits",
        next="Wait for her",
        go_on="yes",
        **rated(kit, case, value),
    )
    assert page.status == 200
    kit.pass_by(60)


def end(kit: WebKit, case: str, **fields: object) -> Page:
    url = f"/cases/{case}/course"
    sent: dict[str, object] = {"steps": "Goes on singing", "confirm": "y"}
    return kit.browser.submit(url, action=f"{url}/end", **(sent | fields))


def unlocked_after(kit: WebKit, days: float) -> None:
    """The page is unlocked again so many days later, and the kit looks after itself once."""
    kit.browser.submit("/cases", action="/lock")
    kit.pass_by(days * DAY)
    kit.unlock(NOW + timedelta(days=days))
    kit.recorder.show()
    Keeper(kit.parts).look()


def events(kit: WebKit) -> list[str]:
    log = (kit.home.log("web") / "log").read_bytes()
    return [entry.event for entry in check_chain(log)]


@pytest.mark.parametrize("name", list(shipped()))
def test_the_whole_course_of_each_service(kit: WebKit, name: str, film: bytes) -> None:
    kit.browser.submit("/service", which=name)
    service = parse(shipped()[name])
    agreed = ["filming", *(["copies"] if "copies" in service.offers else [])]
    limit = 60 * service.film_minutes[0]
    case = kit.make_case(limit=limit, people__0__purposes=agreed)
    url, least, most = f"/cases/{case}/course", service.rating_lowest, service.rating_highest
    page = kit.browser.submit(url, action=f"{url}/rate", **rated(kit, case, least))
    assert page.status == 200
    kit.pass_by(60)

    for cycle in (1, 2):
        assert f"{cycle} of" in kit.browser.get(url).words
        kit.browser.submit(f"/cases/{case}/arm")
        permit = kit.recorder.permit()
        assert permit and permit.limit == limit
        known = kit.open_case(case).read_with_digest(Consent)
        assert known
        recording = kit.recorder.write_film(
            case, kit.recipient(case), stream=film, consent=known[1]
        )
        clip = keep_clip(kit.open_case(case), recording, film, NOW)
        assert "Review by" in kit.browser.get(url).words
        review(kit, case, value=cycle + least)
        assert "Nothing is waiting" in kit.browser.get(url).words

    page = end(kit, case, **rated(kit, case, most))
    assert "Goes on singing" in page.words and kit.recorder.permit() is None
    copies = f"/cases/{case}/copies"
    if "copies" in service.offers:
        sent = {"moments": [clip.id], "to": "Robin", "lock": "plain", "way": "download"}
        page = kit.browser.submit(copies, **sent)
        assert kit.browser.get(f"{page.path}/1.mp4").response.data[4:8] == b"ftyp"
    else:
        assert kit.browser.get(copies).status == 403

    assert "has finished" in kit.browser.get(f"/cases/{case}/arm").words
    page = kit.browser.submit(url, action=f"{url}/top-up")
    assert page.path == f"/cases/{case}/consent"
    assert "needs new consent" in kit.browser.get(f"/cases/{case}/arm").words
    kit.pass_by(60)
    form: dict[str, object] = {"people__0__purposes": ["filming"], "given": "signed", "choice": "y"}
    kit.browser.consent(case, limit=str(limit), valid_until="2027-03-01", **form)
    assert "needs new consent" not in kit.browser.get(f"/cases/{case}/arm").words
    told = json.loads(kit.browser.get(f"{url}/outcome.json").text)
    assert (told["courses"], told["films"], told["reviews"]) == (2, 2, 2)
    assert told["ratings"] == [[least, least + 1, least + 2, most]]
    page = kit.browser.submit(f"/cases/{case}/withdraw", confirm="y")
    assert page.path == f"/cases/{case}/certificate"


def test_the_case_is_said_to_be_armed_no_longer_than_a_press_would_film(kit: WebKit) -> None:
    case = kit.make_case()
    kit.browser.submit(f"/cases/{case}/arm")
    kit.recorder.show(state="ready", case=case)
    assert "Press the button once to start filming" in kit.browser.get(f"/cases/{case}").words
    kit.recorder.show(state="idle", reason="films-used")
    assert "Press the button once" not in kit.browser.get(f"/cases/{case}").words


def test_ending_is_refused_until_it_is_confirmed(kit: WebKit) -> None:
    case = kit.make_case()
    page = end(kit, case, confirm=None)
    assert page.status == 400 and "Tick the box" in page.words
    assert end(kit, case, steps="x" * 2001).status == 400
    assert "The work has finished" not in kit.browser.get(f"/cases/{case}/course").words


def test_what_everybody_saw_is_removed_when_its_time_is_over_and_a_certificate_says_so(
    kit: WebKit,
) -> None:
    case = kit.make_case()
    kit.recorder.write_film(case, kit.recipient(case))
    review(kit, case)
    end(kit, case)
    assert "Finished: films kept until Wed 20 Jan" in kit.browser.get("/cases").words
    unlocked_after(kit, 50)
    assert "delete them soon" in kit.browser.get(f"/cases/{case}/course").words
    unlocked_after(kit, 61)
    page = kit.browser.get(f"/cases/{case}")
    assert page.path == f"/cases/{case}/certificate"
    assert "Certificate of deletion" in page.words and "The family withdrew" not in page.words
    assert "deleted when the time to keep films ended" in kit.browser.get("/cases").words
    found = withdrawal_note(kit.home.case(case))
    assert found and found[0].why == "retention"
    assert not list(kit.home.case(case).glob("identity-*"))
    assert "retention-over" in events(kit)


def test_what_was_never_warned_of_is_not_removed_however_late_it_is(kit: WebKit) -> None:
    case = kit.make_case()
    end(kit, case)
    unlocked_after(kit, 300)
    assert "delete them soon" in kit.browser.get(f"/cases/{case}/course").words
    assert withdrawal_note(kit.home.case(case)) is None
    unlocked_after(kit, 301)
    assert withdrawal_note(kit.home.case(case)) is not None


def test_a_film_that_nobody_looked_at_goes_only_when_a_person_says_so(kit: WebKit) -> None:
    case = kit.make_case()
    url = f"/cases/{case}/course"
    kit.recorder.write_film(case, kit.recipient(case))
    end(kit, case)
    token = kit.browser.get(url).form(f"{url}/top-up")["csrf_token"]
    early = kit.browser.post(f"{url}/remove", {"csrf_token": token, "confirm": "y"})
    assert early.status == 400 and "not reached their deletion date" in early.words
    unlocked_after(kit, 61)
    assert "never watched together" in kit.browser.get(url).words
    assert kit.browser.submit(url, action=f"{url}/remove").status == 400
    page = kit.browser.submit(url, action=f"{url}/remove", confirm="y")
    assert page.path == f"/cases/{case}/certificate"


def test_a_hold_keeps_what_would_be_removed(kit: WebKit) -> None:
    case = kit.make_case()
    review(kit, case)
    end(kit, case)
    kit.browser.submit(
        f"/cases/{case}/hold", role="Named nurse", reason="An enquiry", review="2027-06-01"
    )
    unlocked_after(kit, 61)
    assert "there is a hold on them" in kit.browser.get(f"/cases/{case}/course").words
    assert withdrawal_note(kit.home.case(case)) is None


def test_the_time_that_the_family_was_shown_counts_whatever_the_service_sets_later(
    kit: WebKit,
) -> None:
    case = kit.make_case()
    (kit.home.keys / "service.toml").write_text("retention_days = 20")
    end(kit, case)
    unlocked_after(kit, 30)
    assert withdrawal_note(kit.home.case(case)) is None


def test_a_removal_that_failed_is_noted_and_tried_again_within_the_hour(kit: WebKit) -> None:
    case = kit.make_case()
    end(kit, case)
    unlocked_after(kit, 50)
    kit.browser.submit("/cases", action="/lock")
    kit.pass_by(11 * DAY)
    kit.unlock(NOW + timedelta(days=61))
    documents = kit.home.case(case) / "documents"
    course = next(documents.glob("course-*"))
    sealed = course.read_bytes()
    course.write_bytes(b"damaged")
    keeper = Keeper(kit.parts)
    keeper.look()
    assert "retention-waits" in events(kit)
    course.write_bytes(sealed)
    keeper.look()
    assert withdrawal_note(kit.home.case(case)) is None, "not every two seconds"
    kit.pass_by(HOUR)
    kit.browser.get("/cases")
    keeper.look()
    # Nobody was there for an hour: the page locked itself, and what is due waits for the next.
    assert withdrawal_note(kit.home.case(case)) is None
    kit.unlock(NOW + timedelta(days=61, hours=1))
    keeper.look()
    assert withdrawal_note(kit.home.case(case)) is not None


def test_a_removal_that_failed_is_seen_until_it_is_done(kit: WebKit) -> None:
    case = kit.make_case()
    end(kit, case)
    unlocked_after(kit, 50)
    directory = kit.home.case(case)
    # It lies where a half-written key would, and cannot be removed as one.
    broken = directory / ".identity-broken"
    broken.mkdir()
    unlocked_after(kit, 61)
    assert "retention-waits" in events(kit)
    assert "Not deleted yet" in kit.browser.get("/cases").words
    assert "Not finished yet" in kit.browser.get(f"/cases/{case}/certificate").words
    broken.rmdir()
    unlocked_after(kit, 62)
    assert "Not deleted yet" not in kit.browser.get("/cases").words
    assert "Not finished yet" not in kit.browser.get(f"/cases/{case}/certificate").words
    assert {path.name for path in directory.iterdir()} == {"case.json", "withdrawal"}


def test_place_and_supervisor_are_written_down_in_the_case_and_nowhere_else(kit: WebKit) -> None:
    case = kit.make_case(people__0__purposes=["filming", "supervisor"])
    url = f"/cases/{case}/course"
    page = kit.browser.submit(url, f"{url}/arrange", place="at the library", supervisor="Ms North")
    assert "at the library" in page.words and "Ms North" in page.words
    arranged = kit.open_case(case).read(Arranged)
    assert arranged == Arranged(place="at the library", supervisor="Ms North")
    assert not [
        path
        for path in kit.home.root.rglob("*")
        if path.is_file() and (b"library" in path.read_bytes() or b"North" in path.read_bytes())
    ]
    assert kit.browser.submit(url, f"{url}/arrange", place="x" * 121).status == 400
    told = kit.browser.get(f"{url}/outcome.json").text
    assert "library" not in told and "North" not in told
