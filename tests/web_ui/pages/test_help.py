"""Help on the kit: the guide, for everybody, and the light as the kit's own light shows it."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from appliance.protocol.permits import PressRefusal
from tests.support.pages import WebKit
from tests.support.places import ROOT
from web_ui.pages.help import PART_OF, REFUSED
from web_ui.system.tls import ensure_certificate
from web_ui.wording import guide, light

TEMPLATES = ROOT / "web_ui" / "templates"


def help_link(page: str) -> str:
    found = re.search(r'href="(/help/[\w-]+)"[^>]*>Help<', page)
    assert found, "no way to the help"
    return found[1]


def test_the_whole_help_is_read_without_unlocking_a_kit(tmp_path: Path) -> None:
    stranger = WebKit(tmp_path).browser
    contents = stranger.get("/help")
    assert contents.status == 200
    parts = guide.parts()
    assert re.findall(r'href="/help/([\w-]+)">', contents.text) == [*parts]
    for name, part in parts.items():
        page = stranger.get(f"/help/{name}")
        assert page.status == 200 and f">{part.title}</h1>" in page.text
        assert "<!--" not in page.text and "<img" not in page.text
    assert stranger.get("/help/nowhere").status == 404


def test_every_page_has_its_part_of_the_help_and_each_part_exists(kit: WebKit) -> None:
    assert set(PART_OF.values()) | {REFUSED} <= set(guide.parts())
    known = {*kit.app.blueprints, *kit.app.view_functions}
    assert not set(PART_OF) - known, "the table names a page that is gone"
    assert not set(kit.app.blueprints) - set(PART_OF), "a page has no part of the help"


def test_from_a_page_help_leads_to_its_own_part(tmp_path: Path) -> None:
    kit = WebKit(tmp_path)
    assert help_link(kit.browser.get("/setup").text) == "/help/set-up"
    kit.unlock()
    ensure_certificate(kit.home.keys, ())
    case = kit.make_case()
    for path, part in {
        "/cases": "visit",
        f"/cases/{case}/withdraw": "withdraw",
        f"/cases/{case}/copies": "copies",
        f"/cases/{case}/import": "import",
        "/kit/label": "light",
        "/sending": "base",
        "/nowhere": REFUSED,
    }.items():
        page = kit.browser.get(path)
        assert help_link(page.text) == f"/help/{part}", path
        assert kit.browser.get(help_link(page.text)).status == 200


def test_beside_a_refusal_is_the_way_to_the_help(kit: WebKit) -> None:
    kit.unlock()
    refused = kit.browser.submit("/service", which="nonsense")
    assert refused.status == 400
    assert re.search(r'href="/help/set-up"[^>]*>Help with this', refused.text)
    missing = kit.browser.get("/nowhere")
    assert re.search(r'href="/help/refused"[^>]*>Help with this', missing.text)
    kit.recorder.show(reason=PressRefusal.NO_PERMIT.value)
    assert re.search(r'href="/help/refused"[^>]*>What to do', kit.browser.get("/cases").text)


@pytest.mark.parametrize("name", sorted(path.name for path in TEMPLATES.glob("*.html")))
def test_no_page_shows_a_refusal_without_the_help(name: str) -> None:
    """Whatever shows an error of the kit does it by the macro that has the link."""
    text = (TEMPLATES / name).read_text()
    if name != "forms.html" and re.search(r"\|\s*told", text):
        assert "helping(" in text


def test_the_style_sheet_of_the_light_reaches_everybody(kit: WebKit) -> None:
    page = kit.another_browser().get("/assets/light.css")
    assert page.status == 200 and page.response.mimetype == "text/css"
    assert page.text == light.css()
    assert 'href="/assets/light.css"' in kit.browser.get("/help/light").text


def test_the_label_shows_four_lights_and_says_what_a_press_and_a_hold_do(kit: WebKit) -> None:
    kit.unlock()
    ensure_certificate(kit.home.keys, ())
    page = kit.browser.get("/kit/label").text
    pictures = [str(light.picture(one)) for one in ("off", "ready", "filming", "fault")]
    assert re.findall(r'<svg class="app-rhythm".*?</svg>', page) == pictures
    assert "hold the button down for 5 seconds within 2 minutes" in page
    assert "Any press stops a film at once." in page


def test_headings_of_the_help_come_in_their_order(kit: WebKit) -> None:
    """Whoever listens to a page goes from heading to heading: none may be left out."""
    for name in guide.parts():
        text = kit.browser.get(f"/help/{name}").text
        main = text[text.index("<main") : text.index("</main>")]
        levels = [int(level) for level in re.findall(r"<h(\d)", main)]
        assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels))
