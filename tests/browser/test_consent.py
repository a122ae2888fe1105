"""A consent that is signed on the screen, its receipt, what is taken back, and the log."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page

from appliance.selftest.kit import Kit
from tests.browser.conftest import Brought, Visitor

IN_TWO_MONTHS = (datetime.now(UTC) + timedelta(days=60)).date().isoformat()


def sign(page: Page, person: int) -> None:
    """Draw with the mouse where a person signs."""
    field = page.locator(".app-sign").nth(person)
    box = field.bounding_box()
    assert box is not None
    across, down = box["width"] / 8, box["height"] / 4
    # Each point by its place in the field: the kit's line above may grow meanwhile and move it.
    field.hover(position={"x": across, "y": 2 * down})
    page.mouse.down()
    for step in range(1, 7):
        field.hover(position={"x": across * (step + 1), "y": down * (1 + 2 * (step % 2))})
    page.mouse.up()


def test_a_consent_is_signed_on_the_screen_and_taken_back_in_part(
    kit: Kit, visitor: Visitor, brought: Brought
) -> None:
    page = visitor.page
    brought.set_up(kit)
    visitor.unlock()
    visitor.sees_no_doubt_of_time()
    visitor.go("/cases/new")
    page.fill("#label", "R and K")
    page.fill("#check_word", "lantern")
    visitor.press("Add this family")
    visitor.sees("Today's visit")
    case = visitor.path
    visitor.go(f"{case}/consent")
    # A long form keeps the page unlocked while it is written.
    with page.expect_request("**/status.json?watching"):
        page.fill("#people-0-name", "Alex")
    page.fill("#people-0-relation", "mother")
    page.get_by_label("Yes, with parental responsibility").first.check()
    page.fill("#people-0-child", "Robin")
    page.get_by_label("Filming, and looking at the film together").first.check()
    page.get_by_label("Chosen clips may be shown at training events").first.check()
    page.get_by_label("5 minutes", exact=True).check()
    page.fill("#valid_until", IN_TWO_MONTHS)
    page.fill("#language", "English")
    page.fill("#worries", "Will the neighbours see the light?")
    page.get_by_label("Signed on this screen").check()
    page.get_by_label("Everybody chose this themselves").check()
    visitor.press("Record the consent")
    visitor.sees("Let this person sign here")
    visitor.look("30-consent-not-signed")
    sign(page, 0)
    visitor.look("31-consent-signed")
    visitor.press("Record the consent")
    visitor.sees("Films of up to 5 minutes")
    visitor.look("32-case-with-receipt")
    visitor.go(f"{case}/consent/receipt")
    assert page.locator(".app-signature polyline").count() == 1
    assert page.locator("svg.app-qr").count() == 1
    visitor.look("33-receipt")
    visitor.go(f"{case}/withdraw")
    visitor.look("34-take-back")
    page.get_by_label("Chosen clips may be shown at training events").check()
    visitor.press("Take this back")
    visitor.sees("Taken back since")
    visitor.go(f"{case}/hold")
    visitor.look("35-hold")
    visitor.go("/log")
    visitor.sees("One kind of use was taken back")
    visitor.look("36-log")
