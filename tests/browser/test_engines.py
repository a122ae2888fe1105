"""The page in the engines that are not Chromium: Firefox, and WebKitGTK, of an iPad's kin."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.selftest.kit import Kit, wait_for
from tests.browser.conftest import PASSPHRASE, PATIENCE, page_of
from tests.browser.engines import Engine
from tests.browser.test_pages import COOKIES, served, to_look_at
from tests.browser.webkitgtk import WebKitGTK
from tests.support import films
from tests.support.pages import LARGE, WebKit
from tests.support.places import ROOT
from tests.web_ui.wording.test_language import fill

FRAMES, PLACES, RATE = 240, 50, 30
PICTURE = "#player video"
THERE = "return document.querySelector(arguments[0])?.readyState >= 2"
STEPS = """const [start, key] = arguments;
const video = document.querySelector("#player video");
const press = (key) => new Promise((done) => {
  video.addEventListener("seeked", () => done(number()), { once: true });
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
});
function number() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0);
  let number = 0;
  for (let place = 0; place < 16; place++) {
    const x = Math.floor((place + 0.5) * canvas.width / 16);
    number = 2 * number + (pen.getImageData(x, canvas.height / 8, 1, 1).data[0] > 128);
  }
  return number;
}
document.getElementById("start").value = start;
return press("[").then((first) => press(".").then((second) => [first, second]));"""
"""The numbers (appliance.bench.odd.drawn) of the pictures that the page's own player shows at a
time that was typed, and a step on from there."""
AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
RULES = "return axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"


@pytest.fixture(params=["firefox", "webkitgtk"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each browser in turn."""
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[tuple[Kit, str]]:
    """A kit that is set up, with one film of eight seconds, and the path of its page."""
    with WebKit(tmp_path / "kit") as made:
        made.unlock()
        case = made.make_case("R and K")
        stream = films.film(FRAMES, sound=films.beep)
        film = made.recorder.write_film(case, made.recipient(case), stream=stream)
        with page_of(made, tmp_path / "logs") as running:
            yield running, f"/cases/{case}/films/{film}"


def open_film(engine: Engine, running: Kit, film: str) -> None:
    """Ask for the film, unlock, and be there."""
    address = f"https://localhost:{running.config.port}"
    engine.go(address + film)
    assert engine.run("return location.href") == f"{address}/unlock"
    engine.type("#passphrase", PASSPHRASE)
    engine.click("#unlock button[type=submit]")
    here = "return location.pathname"
    wait_for("the film", lambda: engine.run(here) == film or None, PATIENCE)
    wait_for("a picture", lambda: engine.run(THERE, PICTURE) or None, PATIENCE)


def test_a_film_plays_and_a_moment_is_kept(engine: Engine, kit: tuple[Kit, str]) -> None:
    open_film(engine, *kit)
    length = engine.run("return document.querySelector(arguments[0]).duration", PICTURE)
    assert abs(length - FRAMES / RATE) < 0.1
    play = """const video = document.querySelector(arguments[0]); video.muted = true;
    return video.play().then(() => true);"""
    assert engine.run(play, PICTURE)
    now = "return document.querySelector(arguments[0]).currentTime"
    wait_for("it plays", lambda: engine.run(now, PICTURE) > 1.2 or None, PATIENCE)
    engine.run("document.querySelector(arguments[0]).pause()", PICTURE)
    for field, seconds in (("start", "0.5"), ("end", "1.5")):
        engine.run("document.getElementById(arguments[0]).value = ''", field)
        engine.type(f"#{field}", seconds)
    engine.click("#mark button[type=submit]")
    kept = "return document.querySelectorAll('.app-moment video').length"
    wait_for("the moment", lambda: engine.run(kept) or None, PATIENCE)
    clip = ".app-moment video"
    assert engine.run(play, clip)
    wait_for("the clip", lambda: engine.run(now, clip) > 0.8 or None, PATIENCE)
    told = "return document.getElementById('line-doing').textContent"
    assert "Not filming" in engine.run(told)


def test_the_frame_that_is_sought_is_the_frame_that_is_seen(
    engine: Engine, kit: tuple[Kit, str]
) -> None:
    open_film(engine, *kit)
    ready = "return document.getElementById('timeline').hidden === false"
    wait_for("the player", lambda: engine.run(ready) or None, PATIENCE)
    dice = random.Random(7)
    wrong = {}
    for _ in range(PLACES):
        frame = dice.randrange(FRAMES - 1)
        seen = engine.run(STEPS, f"0:{int(1000 * frame / RATE) / 1000:06.3f}")
        if seen != [frame, frame + 1]:
            wrong[frame] = seen
    assert not wrong


class Asked:
    """Every range of a film that is asked for, and with what it is answered."""

    def __init__(self, kit: WebKit) -> None:
        self.ranges: list[str] = []
        self.answers: list[str] = []
        self._inner = kit.app.wsgi_app
        kit.app.wsgi_app = self  # type: ignore[method-assign]

    def __call__(self, environ: dict[str, Any], answer: Any) -> Any:
        def noted(status: str, *rest: Any) -> Any:
            self.answers.append(status[:3])
            return answer(status, *rest)

        if not environ["PATH_INFO"].endswith("/video"):
            return self._inner(environ, answer)
        self.ranges.append(environ.get("HTTP_RANGE", ""))
        return self._inner(environ, noted)


def sit_down(webkitgtk: WebKitGTK, kit: WebKit, address: str) -> None:
    """Be, in this browser, whoever is unlocked."""
    webkitgtk.go(f"{address}/unlock")
    for name in COOKIES:
        webkitgtk.take_cookie(name, kit.browser.cookie(name))


def test_webkitgtk_asks_for_a_film_in_ranges_and_gets_each(
    webkitgtk: WebKitGTK, tmp_path: Path
) -> None:
    with WebKit(tmp_path / "kit") as kit:
        kit.unlock()
        case = kit.make_case()
        stream = films.film(40 * RATE, encoder=LARGE)
        film = kit.recorder.write_film(case, kit.recipient(case), stream=stream)
        asked = Asked(kit)
        with served(kit) as address:
            sit_down(webkitgtk, kit, address)
            webkitgtk.go(f"{address}/cases/{case}/films/{film}")
            webkitgtk.waits("a picture", THERE, PICTURE)
            seek = """const [which, at] = arguments, video = document.querySelector(which);
            return new Promise(done => {
              video.onseeked = () => done(video.currentTime); video.currentTime = at; });"""
            for at in (35.0, 2.0, 20.0):
                assert abs(webkitgtk.run(seek, PICTURE, at) - at) < 0.05
        first, *later = asked.ranges
        # The beginning of the whole, and from each place on what it has not yet.
        assert first in ("", "bytes=0-"), asked.ranges
        assert len(later) >= 3
        assert all(re.fullmatch(r"bytes=\d+-\d*", one) for one in later), asked.ranges
        assert asked.answers == ["206" if one else "200" for one in asked.ranges]


@pytest.mark.timeout(600)
def test_every_page_keeps_the_rules_of_accessibility_in_webkitgtk(
    webkitgtk: WebKitGTK, tmp_path: Path
) -> None:
    with WebKit(tmp_path / "kit") as kit:
        _case, pages = fill(kit, None)
        with served(kit) as address:
            sit_down(webkitgtk, kit, address)
            for path in to_look_at(pages):
                kit.recorder.show()
                webkitgtk.go(address + path)
                found = webkitgtk.run(f"{AXE}; {RULES}")
                assert not found, f"{path}: {json.dumps(found, indent=1)}"
                wide = "return document.documentElement.scrollWidth - innerWidth"
                assert webkitgtk.run(wide) <= 0, f"{path} is wider than the window"
                there = webkitgtk.run("return location.pathname")
                assert there != "/unlock", path
