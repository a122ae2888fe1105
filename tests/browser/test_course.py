"""The end of the work as a person does it: settings, ratings, copies, leaflet, ending, top-up."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.casework.consent import Consent
from appliance.casework.reviews import Rating, Review
from appliance.records.files import new_id, to_json
from appliance.selftest.kit import Kit, wait_for
from appliance.vault.cases import Goals
from appliance.vault.keys import PrivateKeys
from tests.browser.conftest import PATIENCE, Visitor, page_of
from tests.support import films
from tests.support.moments import keep_clip, keep_still
from tests.support.pages import NOW, WebKit

AGREED = ["filming", "copies", "supervisor", "filming-review"]


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A kit with a case, a film that everybody may have copies of, and two moments of it; and eight
    reviews before that, so that what is wide is seen on a telephone."""
    film = films.film(60)
    with WebKit(tmp_path) as made:
        made.unlock()
        case = made.make_case("R and K", people__0__purposes=AGREED)
        opened = made.open_case(case)
        known = opened.read_with_digest(Consent)
        assert known
        recording = made.recorder.write_film(
            case, made.recipient(case), stream=film, consent=known[1]
        )
        keep_clip(opened, recording, film, NOW)
        keep_still(opened, recording, film, NOW)
        goals = opened.read(Goals)
        assert goals
        rated = tuple(Rating(goal.id, goal.text, 5) for goal in goals.goals)
        for weeks in range(1, 9):
            held = Review(
                id=new_id(),
                held=NOW - timedelta(weeks=weeks),
                shown=(),
                strengths="x",
                next="",
                ratings=rated,
                go_on="yes",
            )
            opened.write(held, held.id)
    with page_of(made, tmp_path / "logs") as running:
        yield running


def test_settings_copies_ending_and_top_up(visitor: Visitor, kit: Kit) -> None:
    page = visitor.page
    visitor.unlock()
    visitor.follow("Service settings")
    page.get_by_label("Eight visits").check()
    visitor.press("Use these settings")
    visitor.sees("6 to 8")
    visitor.look("50-service")
    page.get_by_label("A file of our own").check()
    page.set_input_files(
        "#file",
        {"name": "ours.toml", "mimeType": "text/plain", "buffer": b"film_minuts = [5]"},
    )
    visitor.press("Use these settings")
    visitor.sees("film_minuts")
    visitor.look("51-service-refused")

    visitor.go("/cases")
    visitor.follow("R and K")
    case = visitor.path
    visitor.follow("Progress, goals and ending")
    page.locator("#rate select").select_option("3")
    visitor.press("Save ratings")
    page.get_by_role("cell", name="3", exact=True).wait_for()
    visitor.look("52-course")

    visitor.go(f"{case}/copies")
    visitor.press("Make the copies")
    visitor.sees("There is a problem")
    visitor.look("53-copies-refused")
    for tick in page.get_by_role("checkbox").all():
        tick.check()
    page.fill("#to", "Robin's grandmother")
    page.get_by_label("Locked with words").check()
    page.get_by_label("As a download").check()
    visitor.press("Make the copies")
    visitor.sees("The family's words")
    visitor.look("54-copies")
    got = visitor.save("1.mp4.age")
    assert got.suggested_filename == "1.mp4.age"
    assert Path(got.path()).read_bytes().startswith(b"age-encryption.org/v1")
    visitor.follow("A leaflet for the family, to print")
    visitor.sees("Keeping them safe")
    visitor.look("55-leaflet")

    visitor.go(case)
    visitor.follow("Share clips with a supervisor")
    visitor.press("Share")
    visitor.sees("There is a problem")
    visitor.look("58-share-refused")
    page.get_by_role("group", name="What you share").get_by_role("checkbox").first.check()
    page.get_by_label("My practitioner can show some clips to their supervisor").check()
    page.fill("#who", "My supervisor")
    card = to_json(PrivateKeys.generate("practitioner").card())
    page.set_input_files("#card", {"name": "s.pub", "mimeType": "text/plain", "buffer": card})
    page.get_by_label("I have checked this person can see these clips").check()
    visitor.press("Share")
    visitor.sees("Shared clips")
    visitor.look("59-shared")
    visitor.press("Stop sharing now")
    visitor.sees("Ended.")
    visitor.go(f"{case}/team")
    visitor.look("60-team")
    visitor.follow("Practitioners of this kit")
    visitor.look("61-practitioners")
    visitor.go(f"{case}/review")
    visitor.look("62-review")

    visitor.go(f"{case}/course")
    page.fill("#steps", "Goes on singing in the evening.")
    page.get_by_label("The work with this family has finished").check()
    visitor.press("Finish the work")
    visitor.sees("We keep films until")
    visitor.look("56-ended")
    visitor.press("Start a top-up. You need to record consent again")
    visitor.sees("Read this out first")
    visitor.go(f"{case}/arm")
    visitor.sees("Check your answers before you film")
    visitor.look("57-top-up")


def test_copies_sending_and_withdrawal_with_javascript_off(
    plain_visitor: Visitor, kit: Kit
) -> None:
    visitor, page = plain_visitor, plain_visitor.page
    visitor.unlock()
    visitor.follow("R and K")
    case = visitor.path
    visitor.follow("Progress, goals and ending")
    page.locator("#rate select").select_option("3")
    visitor.press("Save ratings")
    page.get_by_role("cell", name="3", exact=True).wait_for()

    visitor.go(case)
    visitor.follow("Copies for the family")
    for tick in page.get_by_role("checkbox").all():
        tick.check()
    page.fill("#to", "Robin's grandmother")
    page.get_by_label("Locked with words").check()
    page.get_by_label("As a download").check()
    visitor.press("Make the copies")
    wait_for("the copies", lambda: done(visitor), PATIENCE)
    assert Path(visitor.save("1.mp4.age").path()).read_bytes().startswith(b"age-encryption.org/v1")
    visitor.look("63-plain-copies")

    visitor.follow("Uploads")
    visitor.press("I am at base: upload now")
    visitor.look("64-plain-sending")
    visitor.follow("This kit")
    visitor.sees("Check this is your kit")
    visitor.follow("Log")
    visitor.sees("Family added")
    visitor.go(case)
    visitor.follow("Withdraw consent: one use, one film or everything")
    page.get_by_label("The family wants this").check()
    visitor.press("Withdraw everything now")
    visitor.sees("Certificate of withdrawal")
    visitor.look("65-plain-certificate")
    assert not visitor.complaints


def done(visitor: Visitor) -> bool | None:
    """Whether what is being made is there, once the page was loaded again."""
    visitor.page.reload()
    return visitor.page.get_by_role("link", name="1.mp4.age").count() == 1 or None
