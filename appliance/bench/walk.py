"""A visit counted: how often a practitioner taps, how many pages they are led through, and how long
a page of the consent is, from unlocked to filming with a family that is new.

A tap is a click, and each field that is not written in already because the page has put the cursor
there. Letters do not count. What is counted is the same on every machine.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.bench import Row, row
from appliance.bench.browser import chromium
from appliance.config import Config
from appliance.selftest.kit import Kit, free_port
from appliance.selftest.visit import Visit
from appliance.vault.passphrases import make_passphrase

WIDTH, HEIGHT = 390, 844
"""A phone, in the points of its browser."""
_LENGTH = "() => document.querySelector('main').getBoundingClientRect().bottom + scrollY"
"""Down to the end of what a page says: below that stands only what a virtual kit has."""


MOST_TAPS, MOST_PAGES = 24, 16
"""Signing on the screen has one page more for each person, and with one does not reach this yet."""
LONGEST = 1.3
"""Screens of that phone."""


def rows() -> list[Row]:
    """Every measure of the part. Raises NotPossible where Chromium or Playwright is missing."""
    with chromium() as browser:
        walks = [(counted(browser, on_screen), on_screen) for on_screen in (False, True)]
    found = []
    for walk, on_screen in walks:
        how = "signed on the screen" if on_screen else "signed on paper"
        name = f"unlocked to filming, a new family with one parent, {how}"
        found.append(row(f"{name}: taps", "one", walk.taps, f"<= {MOST_TAPS}"))
        found.append(row(f"{name}: pages", "one", walk.pages, f"<= {MOST_PAGES}"))
    longest = max(walk.longest for walk, _on_screen in walks)
    found.append(
        row("the longest page of a consent", "a phone's screen", longest, f"<= {LONGEST:.2f}")
    )
    return found


def counted(browser: Any, on_screen: bool) -> "Walk":
    """Meet a new family with a whole kit, until it films; they sign on the screen, or on paper."""
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as folder:
        home, run = f"{folder}/home", f"{folder}/run"
        config = Config(home=home, run=run, camera="scene", port=free_port())
        with Kit(config, Path(folder, "logs")) as kit:
            visit, passphrase = Visit.begin(kit), make_passphrase()
            visit.let_in(passphrase)
            kit.start("web")
            kit.page()
            phone = {"width": WIDTH, "height": HEIGHT}
            page = browser.new_page(ignore_https_errors=True, viewport=phone)
            page.goto(f"https://127.0.0.1:{config.port}/unlock")
            page.fill("#passphrase", passphrase)
            with page.expect_navigation():
                page.get_by_role("button", name="Unlock", exact=True).click()
            kit.recorder_shows("the time", lambda s: s.clock == "trusted")
            walk = Walk(page)
            meet_a_family(walk, on_screen)
            kit.press(0.1)
            kit.recorder_shows("a film", lambda s: s.state == "filming")
            page.close()
    return walk


@dataclass
class Walk:
    """One person at a page, and what it costs them."""

    page: Any
    taps: int = 0
    pages: int = 1
    """The one where they begin counts."""
    lengths: dict[str, float] = field(default_factory=dict)
    """Of each page of the consent, by its address: screens."""

    @property
    def longest(self) -> float:
        return max(self.lengths.values())

    def tap(self, part: Any) -> None:
        """Something that leads to no other page."""
        part.click()
        self.taps += 1
        self._measure()

    def go(self, part: Any) -> None:
        """Something that leads to another page."""
        with self.page.expect_navigation():
            part.click()
        self.taps += 1
        self.pages += 1
        self._measure()

    def press(self, name: str) -> None:
        self.go(self.page.get_by_role("button", name=name, exact=True))

    def write(self, field: str, text: str) -> None:
        """Write in a field; it is tapped first, unless the cursor stands there."""
        place = self.page.locator(field)
        if not place.evaluate("field => field === document.activeElement"):
            self.tap(place)
        self.page.keyboard.type(text)

    def _measure(self) -> None:
        path = self.page.url.partition("/consent")[2]
        if "/consent" in self.page.url:
            length = self.page.evaluate(_LENGTH) / HEIGHT
            self.lengths[path] = max(length, self.lengths.get(path, 0.0))


def meet_a_family(walk: Walk, on_screen: bool) -> None:
    """From the list of families to a kit that is ready, for one that is new: one parent, who says
    yes to everything."""
    page = walk.page
    walk.press("Add a family")
    walk.write("#label", "R and K")
    walk.write("#check_word", "lantern")
    walk.press("Add this family")
    walk.write("#goal", "To notice when she starts something herself")
    walk.press("Save")
    walk.press("I have read this out")
    walk.write("#name", "Alex")
    walk.write("#relation", "mother")
    walk.tap(page.get_by_label("Yes, with parental responsibility"))
    walk.write("#on_behalf_of", "Robin")
    walk.press("Continue")
    while "/agree/" in page.url:
        walk.press("Yes")
    walk.tap(page.get_by_label("5 minutes", exact=True))
    walk.press("Continue")
    way = "Signed on this screen" if on_screen else "Signed on the paper form"
    walk.tap(page.get_by_label(way))
    walk.tap(page.get_by_label("Everyone chose this freely"))
    walk.press("Record consent")
    if on_screen:
        walk.tap(page.locator(".app-sign"))
        draw(page)
        walk.press("Done")
    walk.press("Turn the button on")
    page.get_by_text("Press the button once to start filming").first.wait_for()


def draw(page: Any) -> None:
    """Sign with the mouse."""
    place = page.locator(".app-sign")
    box = place.bounding_box()
    across, down = box["width"] / 8, box["height"] / 4
    place.hover(position={"x": across, "y": 2 * down})
    page.mouse.down()
    for step in range(1, 7):
        place.hover(position={"x": across * (step + 1), "y": down * (1 + 2 * (step % 2))})
    page.mouse.up()
