"""The whole course of each of the five services as a person walks it, on a whole kit: recorder,
page, button and lamp are real processes, and what is filmed goes through the recorder's own seal.

Pictures of what differs from one service to the next are kept in build/screenshots.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from appliance.casework.service_settings import parse, shipped
from appliance.selftest.kit import Kit, wait_for
from tests.browser.conftest import LAPTOP, PATIENCE, PHONE, Brought, Visitor, new_kit
from tests.browser.consenting import (
    AUTHORITY,
    IN_TWO_MONTHS,
    NOBODY,
    PARENT,
    record,
    talk_through,
)
from tests.browser.test_visit import hold
from tests.support import films

IN_THREE_MONTHS = IN_TWO_MONTHS + timedelta(days=30)
FRAMES = 75
"""What is filmed each time: two and a half seconds."""
GOAL = "To notice when she starts something herself"
WORD = "lantern"
WIDTHS = (PHONE, LAPTOP)


@dataclass(frozen=True)
class Way:
    """What the people of one service do otherwise than the others."""

    service: str
    people: tuple[tuple[str, str, str], ...]
    """Name, who they are to the child, by what right they answer for it."""
    minutes: int
    offered: str
    """Every length that is offered, as the page says it."""
    cycles: str
    scale: str
    place: str
    brought_in: bool = False
    """The second film is one of a video call."""
    pictures: bool = False
    """A still is kept beside the clip."""
    copies: bool = False
    online: bool = False


WAYS = (
    Way(
        service="five-minutes-at-home",
        people=(("Alex", "mother", PARENT), ("Sam", "grandparent", NOBODY)),
        minutes=5,
        offered="3, 5, 10",
        cycles="about 3",
        scale="from 0 to 10",
        place="at home",
        brought_in=True,
        online=True,
    ),
    Way(
        service="stills-and-copies",
        people=(("Alex", "foster carer", AUTHORITY), ("Kim", "brother or sister", NOBODY)),
        minutes=10,
        offered="5, 10, 20",
        cycles="about 3",
        scale="from 0 to 10",
        place="at home",
        pictures=True,
        copies=True,
        online=True,
    ),
    Way(
        service="eight-visits",
        people=(("Alex", "father", PARENT),),
        minutes=3,
        offered="3, 5, 10",
        cycles="6 to 8",
        scale="from 0 to 10",
        place="at home",
        copies=True,
    ),
    Way(
        service="goals-first",
        people=(("Alex", "mother", PARENT), ("Jo", "clinician", NOBODY)),
        minutes=45,
        offered="20, 30, 45",
        cycles="3 to 7",
        scale="from 1 to 10",
        place="at the children's centre",
        copies=True,
        online=True,
    ),
    Way(
        service="record-review-reflect",
        people=(
            ("Alex", "foster carer", NOBODY),
            ("Ash", "social worker", AUTHORITY),
            ("Chris", "teacher", NOBODY),
        ),
        minutes=20,
        offered="5, 10, 20",
        cycles="1 to 3",
        scale="from 0 to 10",
        place="at school",
        online=True,
    ),
)


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    """One kit for all of them, set up: its practitioner only has to unlock."""
    place = tmp_path_factory.mktemp("kit")
    with new_kit(place) as running:
        Brought(place).set_up(running)
        yield running


@pytest.fixture
def unlocked(visitor: Visitor, kit: Kit) -> Iterator[Visitor]:
    """The practitioner, unlocked; whatever happens, the kit is free for the next one."""
    visitor.unlock()
    visitor.sees_no_doubt_of_time()
    yield visitor
    visitor.go("/cases")
    visitor.press("Lock")
    visitor.page.wait_for_url("**/unlock")


def row(visitor: Visitor, key: str) -> str:
    """What stands beside `key` in the page's summary."""
    found = visitor.page.locator(".nhsuk-summary-list__row", has_text=key).first
    return found.locator("dd").inner_text()


def consent(visitor: Visitor, way: Way, until: date) -> None:
    """Record what everybody says; the roles and lengths are the service's own."""
    page, service = visitor.page, parse(shipped()[way.service])
    asked = set()

    def look(step: str) -> None:
        if step == "who":
            roles = page.locator("#roles option").evaluate_all("all => all.map(one => one.value)")
            assert tuple(roles) == service.roles
            assert {role for _name, role, _right in way.people} <= set(roles)
        if step == "practical":
            lengths = page.locator("[name=limit]:not([value=custom])")
            offered = lengths.evaluate_all("all => all.map(one => one.value / 60)")
            assert tuple(offered) == service.film_minutes and way.minutes in offered
        if step.startswith("agree-"):
            asked.add(step.removeprefix("agree-"))

    talk_through(visitor, way.people, str(60 * way.minutes), until, look=look)
    assert ("copies" in asked) is way.copies and ("online-review" in asked) is way.online


def film(visitor: Visitor, kit: Kit, case: str, way: Way) -> str:
    """Arm, press, film, press; returns the page of the film."""
    page, button = visitor.page, visitor.page.locator("#virtual-button button")
    visitor.go(f"{case}/arm")
    if page.locator("#word").count():
        page.fill("#word", WORD)
        page.get_by_label("Only the people above").check()
    visitor.press("Turn the button on")
    page.wait_for_selector("#lamp[data-light=ready]")
    hold(button)
    shown = kit.recorder_shows("a film", lambda s: s.state == "filming" and s.frames_out > FRAMES)
    assert shown.limit == 60 * way.minutes and shown.lit and case.endswith(shown.case)
    page.wait_for_selector(".app-line--filming")
    hold(button)
    kit.recorder_shows("its end", lambda s: s.ended == "button" and s.state == "idle")
    return f"{case}/films/{shown.recording}"


def bring_in(visitor: Visitor, case: str, folder: Path) -> str:
    """A film of a video call becomes one of the case; returns its page."""
    call = folder / "call.mp4"
    call.write_bytes(films.film(90, **films.PLAIN))
    visitor.go(case)
    visitor.follow("Add a film from a phone or video call")
    visitor.page.set_input_files("#film", call)
    visitor.press("Add this film")
    visitor.sees("The film is on this kit.")
    visitor.follow("Watch it")
    return visitor.path


def choose(visitor: Visitor, film: str, note: str, picture: bool) -> None:
    """Keep a second of a film, and a picture, for the review."""
    page = visitor.page
    visitor.go(film)
    video = page.locator("#player video")
    wait_for("a picture", lambda: video.evaluate("v => v.readyState >= 2") or None, PATIENCE)
    page.fill("#start", "0.5")
    page.fill("#end", "1.5")
    page.get_by_label("What you saw").fill(note)
    visitor.press("Save clip")
    page.locator("ol .app-moment", has_text=note).wait_for()
    if picture:
        page.fill("#at", "1.2")
        visitor.press("Save still")
        page.get_by_role("heading", name="Still 2").wait_for()


def review(visitor: Visitor, case: str, value: int, moments: int) -> None:
    """Look at what was chosen on this screen, close it, and read the words for the record."""
    page = visitor.page
    visitor.go(f"{case}/review")
    visitor.press("Start the review on this screen")
    if page.locator("#word").count():
        page.fill("#word", WORD)
        visitor.press("Continue")
    visitor.press("Start")
    clip = page.locator("#show video").first
    wait_for("the clip", lambda: clip.evaluate("v => v.currentTime > 0.2") or None, PATIENCE)
    assert GOAL not in page.content() and WORD not in page.content()
    visitor.follow("Finish")
    page.fill("#strengths", "She waits, and he turns to her.")
    page.fill("#next", "Bath time.")
    page.get_by_label(GOAL).select_option(str(value))
    page.get_by_label("Another film and another review").check()
    visitor.press("Finish the review")
    visitor.sees("Words for the record")
    words = page.input_value("#words")
    assert f"- {GOAL}: {value}" in words and f"Clips watched: {moments}" in words


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.service)
def test_a_family_is_led_through_the_whole_course(
    unlocked: Visitor, kit: Kit, way: Way, tmp_path: Path
) -> None:
    visitor, page = unlocked, unlocked.page
    service = parse(shipped()[way.service])
    least, most = service.rating_lowest, service.rating_highest
    name = f"70-{way.service}"

    # The kit takes the service's settings.
    visitor.follow("Service settings")
    page.get_by_label(service.title, exact=True).check()
    visitor.press("Use these settings")
    page.get_by_role("definition").get_by_text(service.title).wait_for()
    assert row(visitor, "Length of one film") == way.offered
    assert row(visitor, "Cycles") == way.cycles
    assert row(visitor, "Goals are rated") == way.scale
    assert ("Families can have copies" in row(visitor, "Also")) is way.copies

    # Goals first, in the family's words; then how near they are.
    visitor.go("/cases")
    visitor.press("Add a family")
    page.get_by_label("What you call this family").fill(f"R and K, {way.service}")
    page.get_by_label("A word the family chooses").fill(WORD)
    visitor.press("Add this family")
    case = visitor.path.removesuffix("/goals")
    page.get_by_label("A goal").fill(GOAL)
    visitor.press("Save")
    course = f"{case}/course"
    visitor.go(course)
    points = page.locator("#rate select option").all_inner_texts()
    assert points == ["Not rated", *map(str, range(least, most + 1))]
    page.locator("#rate select").select_option(str(least))
    visitor.press("Save ratings")
    page.get_by_role("columnheader", name="Start").wait_for()
    assert row(visitor, "Cycle") == f"1 of {way.cycles}. The family can have more or fewer"
    page.get_by_text("Record where you meet and who supervises").click()
    places = page.locator("#places option").evaluate_all("all => all.map(one => one.value)")
    assert tuple(places) == service.places
    page.fill("#place", way.place)
    page.fill("#supervisor", "The team's supervisor")
    visitor.press("Save")
    page.get_by_role("definition").get_by_text(way.place).wait_for()
    assert row(visitor, "Supervisor") == "The team's supervisor"

    # Everybody agrees for themselves.
    visitor.go(f"{case}/consent")
    consent(visitor, way, IN_TWO_MONTHS)
    visitor.look(f"{name}-consent", WIDTHS)
    record(visitor)
    visitor.go(case)
    visitor.sees(f"Films of up to {way.minutes} min")

    # The first cycle, and the second at another visit: the family says its word again.
    first = film(visitor, kit, case, way)
    visitor.go(course)
    assert row(visitor, "Films not watched together yet") == "1"
    by = datetime.now().astimezone() + timedelta(days=service.review_within_days)
    assert row(visitor, "Review by").startswith(f"{by.day} {by:%B %Y}")
    choose(visitor, first, "She turns to him", way.pictures)
    visitor.look(f"{name}-film", WIDTHS)
    visitor.go(f"{case}/review")
    visitor.sees(f"Allow about {service.review_minutes} minutes.")
    told = page.locator("#online").get_attribute("data-online")
    assert told == ("agreed" if way.online else "not-offered")
    visitor.look(f"{name}-review", WIDTHS)
    review(visitor, case, least + 2, 2 if way.pictures else 1)
    visitor.press("Back to the family")
    visitor.press("Lock")
    visitor.page.wait_for_url("**/unlock")
    visitor.unlock()
    visitor.sees_no_doubt_of_time()
    second = bring_in(visitor, case, tmp_path) if way.brought_in else film(visitor, kit, case, way)
    choose(visitor, second, "He waits for her", False)
    review(visitor, case, least + 3, 1)
    visitor.go(course)
    assert row(visitor, "Shared reviews so far") == "2"
    assert row(visitor, "Review by") == "Nothing is waiting"
    page.goto(f"{visitor.address}{case}")
    assert page.get_by_role("link", name="Add a film").count() == ("import" in service.offers)
    assert page.get_by_role("link", name="Copies for the family").count() == way.copies
    visitor.look(f"{name}-case", WIDTHS)

    # The end, and what the family keeps.
    visitor.go(course)
    page.locator("select[id^=end-]").select_option(str(most))
    page.fill("#steps", "Goes on singing in the evening.")
    page.get_by_label("The work with this family has finished").check()
    visitor.press("Finish the work")
    visitor.sees("We keep films until")
    cells = page.locator(".nhsuk-table tbody td").all_inner_texts()
    assert cells == [str(value) for value in (least, least + 2, least + 3, most)]
    visitor.look(f"{name}-ended", WIDTHS)
    if way.copies:
        visitor.go(f"{case}/copies")
        kept = page.get_by_role("checkbox").all()
        assert len(kept) == (3 if way.pictures else 2)
        for tick in kept:
            tick.check()
        page.fill("#to", "Robin's family")
        page.get_by_label("As a download").check()
        visitor.press("Make the copies")
        assert Path(visitor.save("1.mp4").path()).read_bytes()[4:8] == b"ftyp"
        assert page.get_by_role("link", name=".jpg").count() == way.pictures
        visitor.look(f"{name}-copies", WIDTHS)
    else:
        visitor.go(f"{case}/copies")
        visitor.sees("does not")

    # A top-up is a consent of its own.
    visitor.go(f"{case}/arm")
    visitor.sees("The work with this family has finished.")
    visitor.go(course)
    visitor.press("Start a top-up. You need to record consent again")
    visitor.sees("Read this out first")
    top_up = visitor.path
    visitor.go(f"{case}/arm")
    visitor.sees("A top-up needs new consent.")
    visitor.go(top_up)
    consent(visitor, way, IN_THREE_MONTHS)
    record(visitor)
    third = film(visitor, kit, case, way)
    choose(visitor, third, "They sing together", False)
    visitor.go(course)
    assert row(visitor, "Course of work") == "top-up 1"
    assert row(visitor, "Cycle").startswith(f"1 of {way.cycles}")

    # Numbers for the service without a word, and everything taken back.
    saved = visitor.save("Download figures for the service (no names or notes)")
    numbers = Path(saved.path()).read_text()
    told_of = json.loads(numbers)
    assert (told_of["courses"], told_of["films"], told_of["reviews"]) == (2, 3, 2)
    assert told_of["ratings"] == [[least, least + 2, least + 3, most]]
    for word in (
        WORD,
        GOAL,
        way.place,
        "supervisor",
        "singing",
        "R and K",
        *(who for who, _role, _right in way.people),
    ):
        assert word not in numbers
    visitor.go(f"{case}/withdraw")
    page.get_by_label("The family wants this").check()
    visitor.press("Withdraw everything now")
    visitor.sees("Certificate of withdrawal")
    assert not list((kit.home.cases / Path(case).name).glob("identity-*"))
    visitor.look(f"{name}-certificate", WIDTHS)
    visitor.go(second)
    visitor.sees("withdrawn")
    assert not visitor.complaints, visitor.complaints
