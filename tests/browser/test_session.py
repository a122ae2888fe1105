"""Links that lead to the kit from elsewhere, in a real browser: it alone decides which cookies go
along, and what it says of where a request comes from."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from appliance.selftest.kit import Kit
from tests.browser.conftest import PASSPHRASE, Brought, Visitor, somebody


@pytest.fixture
def unlocked(kit: Kit, visitor: Visitor, brought: Brought) -> Visitor:
    brought.set_up(kit)
    visitor.unlock()
    return visitor


@pytest.fixture
def second(chromium: Browser, visitor: Visitor) -> Iterator[Visitor]:
    """Another browser of the same person."""
    with somebody(chromium, visitor.address) as person:
        yield person


def follow_from_elsewhere(visitor: Visitor, path: str) -> Page:
    """In a second tab, a page of another site with a link to the kit."""
    tab = visitor.page.context.new_page()
    tab.goto(f"data:text/html,<a href='{visitor.address}{path}'>to the kit</a>")
    tab.get_by_role("link").click()
    return tab


def test_a_link_on_another_site_throws_nobody_out_and_leads_where_it_says(
    unlocked: Visitor,
) -> None:
    before = {one["name"]: one["value"] for one in unlocked.page.context.cookies()}
    tab = follow_from_elsewhere(unlocked, "/practitioners")
    tab.get_by_role("heading", name="Practitioners of this kit").wait_for()
    after = {one["name"]: one["value"] for one in unlocked.page.context.cookies()}
    assert before == after
    unlocked.go("/cases")
    assert unlocked.path == "/cases"
    unlocked.press("Lock")
    unlocked.page.wait_for_url("**/unlock")
    tab = follow_from_elsewhere(unlocked, "/cases")
    tab.wait_for_url("**/unlock")
    tab.fill("#passphrase", PASSPHRASE)
    tab.get_by_role("button", name="Unlock", exact=True).click()
    tab.wait_for_url("**/cases")


def test_pictures_and_frames_of_another_site_throw_nobody_out(unlocked: Visitor) -> None:
    tab, address = unlocked.page.context.new_page(), unlocked.address
    shown = f"<iframe src='{address}/cases'></iframe><img src='{address}/cases?picture'>"
    with tab.expect_request(lambda asked: asked.url.endswith("?picture")):
        tab.goto(
            f"data:text/html,{shown}"
        )  # Loaded is what shows all of it, or what it was refused.
    unlocked.go("/cases")
    assert unlocked.path == "/cases"


def test_the_same_person_goes_on_in_another_browser(unlocked: Visitor, second: Visitor) -> None:
    second.go("/unlock")
    second.sees("If that is you, unlock here")
    second.unlock()
    unlocked.go("/cases")
    unlocked.page.wait_for_url("**/unlock")
    second.go("/cases")
    assert second.path == "/cases"
