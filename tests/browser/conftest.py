"""A real kit (recorder and page, a test card as camera) and a real browser that looks at it."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, BrowserContext, Download, Locator, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from appliance.config import Config
from appliance.records.clock import SystemClock
from appliance.records.files import to_json
from appliance.selftest.kit import Kit, at_midday, free_port, local_time, wait_for
from appliance.vault.keys import PrivateKeys, lock
from tests.browser.firefox import FIREFOX, Firefox, firefox_in
from tests.browser.webkitgtk import LACKING, WebKitGTK, webkitgtk_in
from tests.support.pages import PASSPHRASE, FakeRecorder, WebKit
from tests.support.places import ROOT
from web_ui.app import build_parts

SHOTS = ROOT / "build" / "screenshots"
CHROMIUM = "/usr/bin/chromium"
PATIENCE = 90.0
"""Seconds that anything may take on a busy computer. What is waited for is always an event."""
LED_AWAY = "is interrupted by another navigation"
WATCH = """() => {
  window.leaving = false;
  const look = (event, part) => {
    const elsewhere = part.getAttribute("target") || part.getAttribute("method") === "dialog";
    window.leaving ||= !event.defaultPrevented && !elsewhere;
  };
  addEventListener("submit", (event) => look(event, event.target));
  addEventListener("click", (event) => {
    const link = event.target.closest("a[href]:not([href^='#'])");
    if (link) look(event, link);
  });
}"""
"""Has the page tell, from now on, whether a click or a form leads away from it."""
DRAWN = os.environ.get("ATTUNE_DRAWN", "")
"""What is filmed: '' is the test card, of which each picture says its number. `family` is for the
pictures of docs/images (`make pictures`); no number is looked at then."""
PHONE, TABLET, LAPTOP = (390, 844), (820, 1180), (1280, 800)
TOP = 110
"""Points that header and the kit's line take of a phone, where nothing is wrong."""


class Visitor:
    """A person at a browser. What they must never see fails the test at once."""

    def __init__(
        self,
        context: BrowserContext,
        address: str,
        axe: str,
        scripts: bool,
        page: Page | None = None,
    ) -> None:
        self.page: Page = page or context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.address = address
        self.complaints: list[str] = []
        self.scripts = scripts
        self._axe = axe if scripts else ""
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)

    def with_another(self, page: Page) -> "Visitor":
        """The same person at another window of the same browser."""
        return Visitor(page.context, self.address, self._axe, self.scripts, page)

    def go(self, path: str) -> None:
        """Ask for this page by its address, and be there."""
        try:
            self.page.goto(self.address + path)
        except PlaywrightError as error:
            # The page that was there led elsewhere by itself at that moment, as it does when the
            # kit is locked from another place: whoever asks again is let.
            if LED_AWAY not in error.message:
                raise
            self.page.wait_for_load_state()
            self.page.goto(self.address + path)

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.address)

    def unlock(self) -> None:
        """Unlock the kit with the practitioner's passphrase."""
        self.go("/unlock")
        self.page.fill("#passphrase", PASSPHRASE)
        self.press("Unlock")
        self.page.wait_for_url("**/cases")

    def press(self, name: str) -> None:
        """Use the button of this name."""
        self.use(self.page.get_by_role("button", name=name, exact=True))

    def follow(self, name: str) -> None:
        """Follow the link of this name."""
        self.use(self.page.get_by_role("link", name=name, exact=True))

    def save(self, name: str) -> Download:
        """Save the file to which the link of this name leads."""
        with self.page.expect_download() as got:
            self.page.get_by_role("link", name=name, exact=True).click()
        return got.value

    def use(self, part: Locator) -> None:
        """Click it; if that leads to another page, be there."""
        # A click is over before the browser has left: what is asked of the page then would be
        # answered by the old one, and to go elsewhere would call off what was sent.
        if not self.scripts:
            with self.page.expect_navigation(wait_until="domcontentloaded"):
                part.click()
            return
        self.page.evaluate(WATCH)
        part.click()
        wait_for("the page to which it leads", lambda: self._stays() or None, PATIENCE)
        self.page.wait_for_load_state("domcontentloaded")

    def _stays(self) -> bool:
        """Whether the page that is there is not being left for another."""
        try:
            return not self.page.evaluate("window.leaving")
        except PlaywrightError:
            return False

    def sees(self, words: str) -> None:
        self.page.get_by_text(words).first.wait_for()

    def sees_no_doubt_of_time(self) -> None:
        self.page.wait_for_selector("#line-clock", state="hidden")

    def look(self, name: str, widths: Sequence[tuple[int, int]] = (PHONE, TABLET, LAPTOP)) -> None:
        """Keep a picture at each width, and hold the page against the accessibility rules."""
        for width, height in widths:
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.wait_for_load_state()
            self.page.evaluate("scrollTo(0, 0)")
            self.page.screenshot(path=SHOTS / f"{name}-{width}.png", full_page=True)
            wide = self.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} is wider than a screen of {width}"
            if width == PHONE[0] and self.page.locator("html[lang=en] .app-line__row").count():
                ends = self.page.locator(".app-line__row").bounding_box()
                assert ends and ends["y"] + ends["height"] <= TOP, f"{name}: {ends}"
        if self._axe:
            found = self._rules()
            assert not found, f"{name}: {json.dumps(found, indent=1)}"
        assert not self.complaints, self.complaints

    def _rules(self) -> object:
        # Through the debugger: the page itself allows no code from elsewhere, not even ours.
        debugger = self.page.context.new_cdp_session(self.page)
        debugger.send("Runtime.evaluate", {"expression": self._axe})
        run = "axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
        options = {"expression": run, "awaitPromise": True, "returnByValue": True}
        answer = debugger.send("Runtime.evaluate", options)
        debugger.detach()
        return answer["result"]["value"]

    def _heard(self, message: object) -> None:
        text = str(getattr(message, "text", ""))
        # A refused form is answered with its status, and Chromium says so.
        if getattr(message, "type", "") == "error" and "Failed to load resource" not in text:
            self.complaints.append(f"console: {text}")

    def _asked(self, request: object) -> None:
        url = str(getattr(request, "url", ""))
        if not url.startswith((self.address, "data:")):
            self.complaints.append(f"asked elsewhere: {url}")


@pytest.fixture(scope="session", autouse=True)
def midday() -> Iterator[None]:
    """What is agreed to for today does not end while a test runs."""
    with local_time(at_midday(datetime.now(UTC))):
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip("there is no Chromium on this computer: apt-get install chromium")
    SHOTS.mkdir(parents=True, exist_ok=True)
    # Chromium refuses its own sandbox to root.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    if not FIREFOX:
        pytest.skip("there is no Firefox on this computer: apt-get install firefox-esr")
    with firefox_in(tmp_path_factory.mktemp("firefox"), PATIENCE) as browser:
        yield browser


@pytest.fixture(scope="module")
def webkitgtk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebKitGTK]:
    if LACKING:
        pytest.skip(f"WebKitGTK lacks {LACKING} on this computer: tools/setup test")
    with webkitgtk_in(tmp_path_factory.mktemp("webkitgtk"), PATIENCE) as browser:
        yield browser


class Brought:
    """What a practitioner brings to the set-up of a kit."""

    def __init__(self, place: Path) -> None:
        self.service = PrivateKeys.generate("service")
        self.practitioner = PrivateKeys.generate("practitioner")
        self.service_card = place / "service.pub"
        self.service_card.write_bytes(to_json(self.service.card()))
        self.key_file = place / "practitioner.key"
        self.key_file.write_bytes(lock(self.practitioner, PASSPHRASE, work=10))

    def set_up(self, kit: Kit) -> None:
        card, key = self.service_card.read_text(), self.key_file.read_bytes()
        kit.set_up(kit.page(), card, key, PASSPHRASE)


@pytest.fixture
def brought(tmp_path: Path) -> Brought:
    return Brought(tmp_path)


@contextlib.contextmanager
def new_kit(place: Path) -> Iterator[Kit]:
    """A whole kit, recorder and page; nobody is enrolled."""
    config = Config(
        home=str(place / "home"),
        run=str(place / "run"),
        camera="scene",
        scene=DRAWN,
        width=640,
        height=360,
        bit_rate=1_500_000,
        segment_seconds=4,
        port=free_port(),
    )
    with Kit(config, place / "logs") as running:
        running.start("recorder")
        running.start("web")
        running.recorder_shows("the recorder idle", lambda s: s.state == "idle", PATIENCE)
        running.page()
        yield running


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A new kit: nobody is enrolled."""
    with new_kit(tmp_path) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a test fails, its report says what each window shows, and a picture of it is kept."""
    report = yield
    browser = item.funcargs.get("chromium")
    if report.failed and isinstance(browser, Browser):
        pages = [page for context in browser.contexts for page in context.pages]
        for number, page in enumerate(pages):
            report.sections.append((f"window {number}", _shown(page, f"{item.name}-{number}")))
    return report


def _shown(page: Page, name: str) -> str:
    """The address and the words of a window, if it still answers."""
    page.set_default_timeout(5000)
    try:
        page.screenshot(path=SHOTS / f"failed-{name}.png")
        return f"{page.url}\n{page.locator('body').inner_text()}"
    except PlaywrightError as error:
        return f"{page.url} does not answer: {error}"


@contextlib.contextmanager
def page_of(made: WebKit, logs: Path) -> Iterator[Kit]:
    """The page of a home that is there, as a real process; the recorder is only its files."""
    config = msgspec.structs.replace(made.config, port=free_port())
    ended = threading.Event()
    recorder = FakeRecorder(build_parts(config, SystemClock()))
    recorder.signer = made.recorder.signer
    recorder.status = msgspec.structs.replace(
        recorder.status, verifier=str(recorder.signer.verifier), clock="trusted"
    )

    def go_on() -> None:
        while not ended.wait(1):
            recorder.show()

    recorder.show()
    telling = threading.Thread(target=go_on)
    telling.start()
    try:
        with Kit(config, logs) as running:
            running.start("web")
            running.page()
            yield running
    finally:
        ended.set()
        telling.join()


@contextlib.contextmanager
def somebody(
    chromium: Browser, address: str, scripts: bool = True, rules: bool = True
) -> Iterator[Visitor]:
    """A person at a browser of their own, with or without JavaScript; `rules` are axe's."""
    context = chromium.new_context(
        ignore_https_errors=True,
        java_script_enabled=scripts,
        locale="en-GB",
        viewport={"width": LAPTOP[0], "height": LAPTOP[1]},
    )
    axe = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text() if rules else ""
    try:
        yield Visitor(context, address, axe, scripts)
    finally:
        context.close()


@pytest.fixture
def visitor(chromium: Browser, kit: Kit) -> Iterator[Visitor]:
    """A person with JavaScript."""
    with somebody(chromium, f"https://localhost:{kit.config.port}") as person:
        yield person


@pytest.fixture
def plain_visitor(chromium: Browser, kit: Kit) -> Iterator[Visitor]:
    """A person whose browser runs no JavaScript."""
    with somebody(chromium, f"https://localhost:{kit.config.port}", scripts=False) as person:
        yield person
