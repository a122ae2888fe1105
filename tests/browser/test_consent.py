"""A consent that is signed on the screen, its receipt, what is taken back, and the log; and what a
visit costs in taps and pages."""

import pytest
from playwright.sync_api import Browser

from appliance.bench import walk
from appliance.selftest.kit import Kit
from tests.browser.conftest import PHONE, TABLET, Brought, Visitor
from tests.browser.consenting import NOBODY, PARENT, record, talk_through

WIDE, ENLARGED = (1440, 900), (320, 256)
"""The last is a screen of 1280 by 1024 at 400 percent."""
EVERY = (PHONE, TABLET, WIDE, ENLARGED)


@pytest.mark.timeout(900)
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
    case = visitor.path.removesuffix("/goals")
    page.get_by_label("No goals yet").check()
    visitor.press("Save")
    visitor.press("I have read this out")
    visitor.press("Continue")
    visitor.sees("Enter this person's name")
    assert page.title().startswith("Error: ")
    assert page.evaluate("document.activeElement.classList.contains('nhsuk-error-summary')")
    visitor.look("30-consent-refused", EVERY)
    # Whoever writes keeps the page unlocked.
    with page.expect_request("**/status.json?watching"):
        page.fill("#name", "Alex")
    visitor.go(f"{case}/consent/promises")
    people = (("Alex", "mother", PARENT), ("Sam", "uncle", NOBODY))
    seen = []

    def look(step: str) -> None:
        if step not in seen:
            seen.append(step)
            visitor.look(f"31-consent-{step}", EVERY)

    talk_through(visitor, people, "300", no=["peers"], look=look)
    assert len(seen) == 11
    page.go_back()
    page.go_back()
    visitor.sees("The answer was")
    page.go_forward()
    page.go_forward()
    visitor.sees("Is this everyone, and is it right?")
    record(visitor, "Signed on this screen")
    visitor.sees("Alex, this is what you said")
    assert not page.get_by_text("Sam").count() and not page.get_by_text("R and K").count()
    visitor.look("32-consent-sign", EVERY)
    visitor.press("Done")
    visitor.sees("Ask this person to sign here")
    walk.draw(page)
    page.reload()
    visitor.sees("Alex, this is what you said")
    walk.draw(page)
    visitor.press("Clear")
    walk.draw(page)
    visitor.look("33-consent-signed", EVERY)
    visitor.press("Done")
    visitor.sees("Sam, this is what you said")
    page.go_back()
    visitor.sees("Alex, this is what you said")
    page.go_forward()
    visitor.sees("Sam, this is what you said")
    walk.draw(page)
    visitor.press("Done")
    page.wait_for_url("**/arm")
    page.go_back()
    visitor.go(case)
    visitor.sees("Films of up to 5 minutes")
    assert len(list((kit.home.cases).glob("*/documents/consent-*"))) == 1
    visitor.look("34-case-with-receipt")
    visitor.go(f"{case}/consent/receipt")
    assert page.locator(".app-signature polyline").count() == 2
    assert page.locator("svg.app-qr").count() == 1
    visitor.look("35-receipt")
    visitor.go(f"{case}/withdraw")
    visitor.look("36-take-back")
    page.get_by_label("Some clips can be shown at training events").check()
    visitor.press("Withdraw consent for this")
    visitor.sees("What you have withdrawn")
    visitor.go(f"{case}/hold")
    visitor.look("37-hold")
    visitor.go("/log")
    visitor.sees("Consent withdrawn for one use")
    visitor.look("38-log")


@pytest.mark.timeout(900)
def test_a_visit_with_a_new_family_costs_no_more_taps_and_pages_than_it_may(
    chromium: Browser,
) -> None:
    """As `attune bench walk` prints it, through a real kit to a film."""
    for on_screen in (False, True):
        counted = walk.counted(chromium, on_screen)
        said = f"{counted.taps} taps, {counted.pages} pages, {counted.lengths}"
        assert counted.taps <= walk.MOST_TAPS, said
        assert counted.pages <= walk.MOST_PAGES + on_screen, said
        assert counted.longest <= walk.LONGEST, said
