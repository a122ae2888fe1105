"""What a page puts in anew leaves alone what somebody is using, in every part that it renews."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from appliance.casework.copies import Copies
from appliance.records.files import new_id
from appliance.selftest.kit import Kit, wait_for
from tests.browser import test_moments
from tests.browser.conftest import PATIENCE, ROOT, Visitor
from tests.browser.test_moments import keep, to_film
from tests.browser.test_pages import seated, served
from tests.support.pages import NOW, WebKit
from tests.web_ui.wording.test_language import fill
from web_ui.system.tls import ensure_certificate

kit = test_moments.kit  # Over this file, the browser's visitor is at a kit with one film.
film = test_moments.film

USED = (Path(__file__).parent / "used_through_renewal.js").read_text()


def fresh_parts() -> set[str]:
    """The id of every part that any page renews."""
    templates = (ROOT / "web_ui" / "templates").glob("*.html")
    tags = re.findall(r"<[^>]* data-fresh[^>]*>", "".join(path.read_text() for path in templates))
    return {tag.partition('id="')[2].partition('"')[0] for tag in tags}


@pytest.mark.timeout(300)
def test_whatever_is_used_is_left_alone_in_every_part_that_is_renewed(
    chromium: Browser, tmp_path: Path
) -> None:
    with WebKit(tmp_path / "kit") as made:
        ensure_certificate(made.home.keys, ())
        case, pages = fill(made, None)
        copies = Copies(
            id=new_id(), made=NOW, to="Her grandmother", way="download", locked=False, moments=(),
            state="done",
        )  # fmt: skip
        made.open_case(case).write(copies, copies.id)
        pages.append(f"/cases/{case}/copies/{copies.id}")
        seen = set[str]()
        with served(made) as address, seated(chromium, made, address) as visitor:
            for path in pages:
                if (
                    path.endswith((".json", ".events", ".jpg", ".crt", ".html", "/video"))
                    or path == "/"
                ):
                    continue
                made.recorder.show()
                visitor.go(path)
                parts = visitor.page.locator("[data-fresh]")
                if not parts.count():
                    continue
                seen |= set(parts.evaluate_all("parts => parts.map(part => part.id)"))
                assert visitor.page.evaluate(USED) == [], path
            assert not visitor.complaints
    assert seen == fresh_parts()


def seconds(page: Page, clip: str) -> float:
    place = page.locator(clip).evaluate("video => video.paused ? -1 : video.currentTime")
    return float(place)


def test_a_clip_plays_to_its_end_while_others_are_kept_and_put_in_order(
    visitor: Visitor, kit: Kit
) -> None:
    page = visitor.page
    visitor.unlock()
    to_film(visitor)
    page.fill("#start", "1")
    page.fill("#end", "21")
    keep(page, "the first")
    first = page.locator("ol .app-moment", has_text="the first")
    clip = f"#{first.get_attribute('id')} video"
    page.locator(clip).evaluate(
        "video => { window.watched = video; video.muted = true; return video.play(); }"
    )
    wait_for("the clip", lambda: seconds(page, clip) > 0.2 or None, PATIENCE)
    for start, note in ((22, "the second"), (25, "the third")):
        page.fill("#start", str(start))
        page.fill("#end", str(start + 2))
        keep(page, note)
    page.get_by_role("button", name="Clip 3: move earlier").click()
    page.locator("ol .app-moment", has_text="Clip 2").filter(has_text="the third").wait_for()
    page.get_by_role("button", name="Clip 1: move later").click()
    page.locator("ol .app-moment", has_text="Clip 2").filter(has_text="the first").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == (
        "Clip 2: move later"
    )
    page.get_by_role("button", name="Clip 1: remove from review").click()
    page.get_by_text("Set aside (1)").wait_for()
    assert seconds(page, clip) > 0.2
    page.evaluate("window.watched.playbackRate = 8")
    wait_for(
        "its end",
        lambda: page.evaluate("window.watched.isConnected && window.watched.ended"),
        PATIENCE,
    )


@pytest.mark.parametrize("lost", [False, True], ids=["late", "lost"])
def test_a_page_ends_up_as_new_as_the_kit_whatever_became_of_an_older_answer(
    chromium: Browser, tmp_path: Path, lost: bool
) -> None:
    with WebKit(tmp_path / "kit") as made:
        ensure_certificate(made.home.keys, ())
        case, _ = fill(made, None)
        with served(made) as address, seated(chromium, made, address) as visitor:
            made.recorder.show()
            visitor.go(f"/cases/{case}/visit/frame")
            page, held = visitor.page, list[Route]()

            def answer(route: Route) -> None:
                # The first stays on its way, with what was so when it was asked for.
                if held or route.request.resource_type != "fetch":
                    route.continue_()
                    return
                held.append(route)

            page.route("**/visit/frame", answer)
            made.recorder.show(state="preview", light="preview", case=case)
            page.wait_for_selector("#lamp[data-light=preview]")
            wait_for("the page to be asked for", lambda: held or page.wait_for_timeout(50), 10)
            old = page.request.get(page.url).text()
            made.recorder.show(state="filming", light="filming", case=case, recording=new_id())
            page.wait_for_selector("#lamp[data-light=filming]")
            # Time enough to ask for it meanwhile, for a page that does not wait.
            page.wait_for_timeout(500)
            if lost:
                held[0].abort()
            else:
                held[0].fulfill(body=old, content_type="text/html; charset=utf-8")
            page.get_by_role("button", name="Go to the visit page").wait_for()
            page.wait_for_timeout(500)
            assert page.get_by_role("button", name="Go to the visit page").is_visible()
