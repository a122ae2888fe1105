"""Every page of the kit in a real browser: no rule of accessibility broken, nothing too wide,
nothing asked elsewhere; and the same in a language whose sentences are a third longer."""

import io
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from werkzeug.serving import make_server

from appliance.film.manifest import FilmedWith
from appliance.media.stills import still
from appliance.records.files import ID
from appliance.selftest.kit import free_port
from tests.browser.conftest import LAPTOP, PHONE, TABLET, Visitor, somebody
from tests.support import films
from tests.support.pages import PASSPHRASE, WebKit
from tests.support.pseudo import catalogue
from tests.web_ui.pages.test_unlock import NEW
from tests.web_ui.wording.test_language import fill
from web_ui.system.tls import ensure_certificate

EVERY = (PHONE, TABLET, LAPTOP)
SET_TO = FilmedWith(
    camera="imx708_wide",
    size=(1280, 720),
    frame_rate=25,
    encoder="bcm2835-codec, high",
    bit_rate=5_000_000,
    seen=1.0,
    focus=1.0,
)
COOKIES = ("__Host-attune", "__Host-attune-paired")


def to_look_at(paths: Iterable[str]) -> list[str]:
    """Those, of all addresses, that are pages to whoever is unlocked."""
    files = (".css", ".json", ".events", ".jpg", ".crt", ".html", "/video")
    return [path for path in paths if not path.endswith(files) and path not in ("/", "/unlock")]


@contextmanager
def served(kit: WebKit) -> Iterator[str]:
    """The page of this kit as it stands, at an address."""
    certificate, key = ensure_certificate(kit.home.keys, ())
    server = make_server(
        "localhost",
        free_port(),
        kit.app,
        threaded=True,
        ssl_context=(str(certificate), str(key)),
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://localhost:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def seated(
    chromium: Browser, kit: WebKit, address: str, rules: bool = False, scripts: bool = True
) -> Iterator[Visitor]:
    """The person who is unlocked, at a real browser."""
    cookies = [
        {"name": name, "value": kit.browser.cookie(name), "url": address, "secure": True}
        for name in COOKIES
    ]
    with somebody(chromium, address, scripts, rules) as visitor:
        visitor.page.context.add_cookies(cookies)
        yield visitor


@pytest.mark.timeout(300)
@pytest.mark.parametrize("language", ["en", "pseudo"])
def test_every_page_can_be_used_by_everybody_at_every_width(
    chromium: Browser, tmp_path: Path, language: str
) -> None:
    with WebKit(tmp_path / "kit") as kit:
        ensure_certificate(kit.home.keys, ())
        translations = catalogue(tmp_path / "words") if language == "pseudo" else None
        case, pages = fill(kit, translations)
        with served(kit) as address, seated(chromium, kit, address, not translations) as visitor:
            for path in to_look_at(pages):
                kit.recorder.show()
                visitor.go(path)
                name = ID.sub("one", path.replace(case, "case")).strip("/").replace("/", "-")
                # What is too wide is so on a phone; the rules say nothing of languages.
                visitor.look(f"page-{language}-{name}", (PHONE,) if translations else EVERY)
                assert visitor.path.partition("?")[0] != "/unlock", path


def test_a_visit_is_led_with_javascript_off(chromium: Browser, tmp_path: Path) -> None:
    with WebKit(tmp_path / "kit") as kit:
        kit.unlock()
        case = kit.make_case()
        kit.make_case("Another family, whose word was said since")
        ensure_certificate(kit.home.keys, ())
        with served(kit) as address, seated(chromium, kit, address, scripts=False) as visitor:
            visitor.go(f"/cases/{case}")
            visitor.follow("Get ready to film")
            visitor.page.fill("#word", "lantern")
            visitor.press("Turn the button on")
            kit.recorder.show(state="ready", case=case)
            visitor.follow("Check the picture")
            visitor.press("Turn the camera on")
            picture = io.BytesIO()
            still(io.BytesIO(films.film(75)), 1, picture)
            kit.home.preview.write_bytes(picture.getvalue())
            kit.home.close_look.write_bytes(picture.getvalue())
            kit.recorder.show(
                state="preview", light="preview", case=case, brightness=0.1, looks=1,
                filmed_with=SET_TO,
            )  # fmt: skip
            visitor.follow("Check again")
            seen = visitor.page.locator("#seen")
            assert seen.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 0
            visitor.look("plain-framing")
            film = kit.recorder.write_film(case, kit.recipient(case))
            kit.recorder.show(
                state="filming", light="filming", case=case, recording=film, limit=300.0,
                remaining=298.0,
            )  # fmt: skip
            visitor.go(f"/cases/{case}")
            visitor.press("Mark this moment")
            visitor.sees("Marked at 0:02.00")
            visitor.look("plain-filming")
            visitor.press("The child has had enough")
            kit.recorder.show(state="idle", light="off", ended="page")
            visitor.go(f"/cases/{case}/films/{film}")
            visitor.use(visitor.page.get_by_role("link", name="Use the moment marked at 0:02.00"))
            assert visitor.page.input_value("#start") == "0:00.000"
            visitor.go("/kit")
            visitor.follow("Change your passphrase")
            for field, words in (("passphrase", PASSPHRASE), ("new", NEW), ("again", NEW)):
                visitor.page.fill(f"#{field}", words)
            visitor.press("Change passphrase")
            visitor.sees("Your passphrase was changed.")
            assert not visitor.complaints


FORCED = """([part, pseudo]) => {
  const style = getComputedStyle(document.querySelector(part), pseudo);
  const plain = getComputedStyle(document.body);
  return [style.backgroundColor, plain.backgroundColor];
}"""


def test_in_forced_colours_lamp_playhead_handles_and_what_is_pressed_are_seen(
    chromium: Browser, tmp_path: Path
) -> None:
    with WebKit(tmp_path / "kit") as kit:
        kit.unlock()
        case = kit.make_case()
        film = kit.recorder.write_film(case, kit.recipient(case))
        ensure_certificate(kit.home.keys, ())
        kit.recorder.show(light="filming")
        with served(kit) as address, seated(chromium, kit, address) as visitor:
            visitor.page.emulate_media(forced_colors="active")
            visitor.go(f"/cases/{case}/films/{film}")
            visitor.page.wait_for_selector("#timeline:not([hidden])")
            visitor.page.keyboard.press("i")
            visitor.press("Mute")
            for part, pseudo in (
                ("#lamp", ""),
                ("#head", "::before"),
                ("#handle-in", ""),
                ("[data-do=sound]", ""),
            ):
                own, behind = visitor.page.evaluate(FORCED, [part, pseudo])
                assert own not in (behind, "rgba(0, 0, 0, 0)"), part
            visitor.look("forced-colours", (LAPTOP,))
