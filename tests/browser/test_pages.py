"""Every page of the kit in a real browser: no rule of accessibility broken, nothing too wide,
nothing asked elsewhere; and the same in a language whose sentences are a third longer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from werkzeug.serving import make_server

from appliance.files import ID
from appliance.kit import free_port
from tests.browser.conftest import LAPTOP, PHONE, ROOT, TABLET, Visitor
from tests.pages import WebKit
from tests.pseudo import catalogue
from tests.test_web_languages import fill
from web_ui.tls import ensure_certificate

EVERY = (PHONE, TABLET, LAPTOP)
COOKIES = ("__Host-attune", "__Host-attune-paired")


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
def seated(chromium: Browser, kit: WebKit, address: str, rules: bool) -> Iterator[Visitor]:
    """The person who is unlocked, at a real browser."""
    context = chromium.new_context(
        ignore_https_errors=True, viewport={"width": LAPTOP[0], "height": LAPTOP[1]}
    )
    cookies = [(name, kit.browser.cookie(name)) for name in COOKIES]
    context.add_cookies(
        [{"name": name, "value": value, "url": address, "secure": True} for name, value in cookies]
    )
    axe = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text() if rules else ""
    try:
        yield Visitor(context, address, axe, True)
    finally:
        context.close()


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
            for path in pages:
                if path.endswith((".json", ".jpg", ".crt", "/video")) or path in ("/", "/unlock"):
                    continue
                kit.recorder.show()
                visitor.go(path)
                name = ID.sub("one", path.replace(case, "case")).strip("/").replace("/", "-")
                # What is too wide is so on a phone; the rules say nothing of languages.
                visitor.look(f"page-{language}-{name}", (PHONE,) if translations else EVERY)
                assert visitor.path.partition("?")[0] != "/unlock", path
