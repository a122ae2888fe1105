"""The viewer, as a supervisor or a family opens it: a file in a browser, and no network."""

import http.server
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from appliance.age.identities import generate_identity
from appliance.age.scrypt import ScryptRecipient
from appliance.age.sealing import Recipient, seal
from appliance.selftest.kit import wait_for
from appliance.vault.keys import PrivateKeys, lock
from appliance.viewer import NAME, viewer
from tests.browser.conftest import LAPTOP, PATIENCE, PHONE, SHOTS
from tests.browser.engines import Chromium, Engine
from tests.support import films
from tests.support.pages import PASSPHRASE
from tests.support.places import ROOT

WORDS = PASSPHRASE
ENGINES = ("chromium", "firefox", "webkitgtk")
CLICKS = 4
"""The most that it may take from the file to a film that plays."""


@pytest.fixture
def in_chromium(chromium: Browser) -> Iterator[Chromium]:
    context = chromium.new_context(
        locale="en-GB", viewport={"width": LAPTOP[0], "height": LAPTOP[1]}
    )
    yield Chromium(context.new_page())
    context.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each browser in turn."""
    name = "in_chromium" if request.param == "chromium" else request.param
    found: Engine = request.getfixturevalue(name)
    return found


@pytest.fixture(scope="module")
def film() -> bytes:
    return films.film(90, sound=films.beep, **films.PLAIN)


class Person:
    """Somebody with the viewer, some files and a mouse. Counts what takes a press of the mouse."""

    def __init__(self, engine: Engine, place: Path) -> None:
        self.engine, self.place, self.clicks = engine, place, 0
        (place / NAME).write_bytes(viewer())
        engine.go((place / NAME).as_uri())

    def put(self, name: str, data: bytes) -> Path:
        path = self.place / name
        path.write_bytes(data)
        return path

    def choose(self, *files: Path) -> None:
        """In the system's own window for files: one press opens it, one says that these are all."""
        self.clicks += 2
        self.engine.choose("#files", files)
        known = "return document.querySelectorAll('#chosen li, #problem p').length"
        wait_for("the files", lambda: self.engine.run(known) or None, PATIENCE)

    def open(self, words: str = "") -> None:
        if words:
            self.engine.type("#words", words)
        self.clicks += 1
        self.engine.click("#open")
        done = """return document.getElementById('busy').textContent === ''
          && !document.getElementById('now').textContent.startsWith('Opening')"""
        wait_for("an answer", lambda: self.engine.run(done) or None, PATIENCE)

    def plays(self) -> None:
        time = "const video = document.getElementById('video'); return video.currentTime"
        wait_for("a film that plays", lambda: self.engine.run(time) > 0.2 or None, PATIENCE)

    def text(self, part: str) -> str:
        return str(self.engine.run("return document.querySelector(arguments[0]).innerText", part))

    def problem(self) -> str:
        """What is said to be wrong; and then nothing is shown."""
        shown = """return document.querySelectorAll('#video[src], #picture[src]').length"""
        assert self.engine.run(shown) == 0
        return self.text("#problem:not([hidden]), #trouble:not([hidden])")


def locked(words: str, data: bytes) -> bytes:
    return seal(data, [ScryptRecipient(words, work=10)])


def about(until: datetime, names: Sequence[str], recipient: Recipient) -> bytes:
    files = [{"name": name, "seconds": 3.2 + place} for place, name in enumerate(names)]
    letter = {"attune": "share-about/v1", "until": until.isoformat(), "files": files}
    return seal(json.dumps(letter).encode(), [recipient])


@pytest.mark.slow
@pytest.mark.parametrize("x25519", [False, True], ids=["post-quantum", "x25519"])
def test_a_share_plays_after_a_few_clicks_with_a_locked_key_file(
    engine: Engine, tmp_path: Path, film: bytes, x25519: bool
) -> None:
    keys, until = PrivateKeys.generate("practitioner", x25519), datetime.now(UTC)
    to, names = keys.identity.recipient, ("2.mp4.age", "1.mp4.age")
    person = Person(engine, tmp_path)
    files = [
        person.put("mine.key", lock(keys, WORDS, work=10)),
        person.put("about.age", about(until + timedelta(days=2), names, to)),
        *(person.put(name, seal(film, [to])) for name in sorted(names)),
    ]
    person.choose(*files)
    person.open(f" {WORDS.title()}")
    person.plays()
    assert person.clicks <= CLICKS
    assert "You may watch until the end of" in person.text("#until")
    # In the order in which they were shared, each with its length.
    first, second = person.text("#clips").split("\n")
    assert (first, second) == ("Clip 1 of 2, 3 seconds", "Clip 2 of 2, 4 seconds")
    person.engine.click("#next")
    wait_for("the next", lambda: person.text("#now") == second or None, PATIENCE)
    person.plays()


@pytest.mark.slow
def test_a_familys_locked_copies_open_with_their_words_and_all_is_forgotten(
    engine: Engine, tmp_path: Path, film: bytes
) -> None:
    person = Person(engine, tmp_path)
    picture = (ROOT / "docs" / "images" / "pages-kit.jpg").read_bytes()
    files = [
        person.put("1.mp4.age", locked(WORDS, film)),
        person.put("1.jpg.age", locked(WORDS, picture)),
    ]
    person.choose(*files)
    person.open(f"{WORDS.capitalize().replace(' ', '  ', 1)} ")
    shown = "return document.getElementById('picture').naturalWidth"
    wait_for("the picture", lambda: person.engine.run(shown) or None, PATIENCE)
    person.engine.click("#clips li:last-child button")
    person.plays()
    assert person.clicks + 1 <= CLICKS
    address = person.engine.run("return document.getElementById('video').src")
    person.engine.click("#close")
    left = """return [document.getElementById('words').value,
      document.getElementById('files').value,
      document.getElementById('video').getAttribute('src') ?? '',
      document.getElementById('clips').innerText, document.getElementById('chosen').innerText]"""
    assert person.engine.run(left) == [""] * 5
    gone = """const shown = document.createElement('video'); shown.src = arguments[0];
      return new Promise(done => { shown.onerror = () => done(true);
                                   shown.onloadeddata = () => done(false); })"""
    assert person.engine.run(gone, address)


@pytest.mark.slow
def test_what_ages_own_command_sealed_opens(engine: Engine, tmp_path: Path, film: bytes) -> None:
    person, plain = Person(engine, tmp_path), tmp_path / "plain.mp4"
    plain.write_bytes(film)
    key, sealed, armoured = (tmp_path / name for name in ("key.txt", "1.mp4.age", "2.mp4.age"))
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True)
    to = ["-r", public.stdout.strip()]
    subprocess.run(["age", *to, "-o", sealed, plain], check=True)
    subprocess.run(["age", "--armor", *to, "-o", armoured, plain], check=True)
    plain.unlink()
    person.choose(key, armoured)
    person.open()
    person.plays()
    person.engine.click("#close")
    person.choose(key, sealed)
    person.open()
    person.plays()


def _changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


KEYS = PrivateKeys.generate("practitioner", x25519=True)
TO = [KEYS.identity.recipient]
OVER = datetime(2026, 3, 3, tzinfo=UTC)
WRONG: dict[str, tuple[Callable[[bytes], dict[str, bytes]], str, str]] = {
    "words": (lambda film: {"1.mp4.age": locked(WORDS, film)}, "other", "do not open 1.mp4.age"),
    "no words": (lambda film: {"1.mp4.age": locked(WORDS, film)}, "", "Type the words"),
    "passphrase": (
        lambda film: {"my.key": lock(KEYS, WORDS, work=10), "1.mp4.age": seal(film, TO)},
        "other",
        "do not open my.key",
    ),
    "no key": (lambda film: {"1.mp4.age": seal(film, TO)}, WORDS, "Choose your key file too"),
    "somebody else's": (
        lambda film: {
            "my.key": KEYS.text().encode(),
            "1.mp4.age": seal(film, [generate_identity(x25519=True).recipient]),
        },
        "",
        "locked for somebody else",
    ),
    "not sealed": (lambda film: {"1.mp4": film}, "", "not a locked file"),
    "a card": (lambda film: {"my.pub": b'{"attune":"card/v1"}'}, "", "not a key file"),
    "a byte of the film": (
        lambda film: {"my.key": KEYS.text().encode(), "1.mp4.age": _changed(seal(film, TO), 9000)},
        "",
        "damaged",
    ),
    "a byte of the header": (
        lambda film: {"my.key": KEYS.text().encode(), "1.mp4.age": _changed(seal(film, TO), 195)},
        "",
        "1.mp4.age",
    ),
    "cut short": (
        lambda film: {"my.key": KEYS.text().encode(), "1.mp4.age": seal(film, TO)[:-100]},
        "",
        "damaged, or part of it is missing",
    ),
    "neither film nor picture": (
        lambda film: {"my.key": KEYS.text().encode(), "1.mp4.age": seal(b"<p>no film", TO)},
        "",
        "neither a film nor a picture",
    ),
    "a key of a kind of its own": (
        lambda film: {
            "my.key": KEYS.text().encode(),
            "1.mp4.age": seal(film, TO).replace(b"-> X25519", b"-> plugin"),
        },
        "",
        "a kind of key that this page does not know",
    ),
    "over": (
        lambda film: {
            "my.key": KEYS.text().encode(),
            "1.mp4.age": seal(film, TO),
            "about.age": about(OVER, ["1.mp4.age"], TO[0]),
        },
        "",
        "shared until 2 March 2026. That day is over",
    ),
}


@pytest.mark.slow
def test_what_does_not_open_says_how_to_mend_it_and_shows_nothing(
    engine: Engine, tmp_path: Path, film: bytes
) -> None:
    for name, (files, words, said) in WRONG.items():
        place = tmp_path / name
        place.mkdir()
        person = Person(engine, place)
        person.choose(*(person.put(called, data) for called, data in files(film).items()))
        if name not in ("not sealed", "a card"):
            person.open(words)
        assert said in person.problem(), f"{name}: {person.problem()}"


@pytest.mark.slow
def test_a_name_that_is_html_stays_a_name(engine: Engine, tmp_path: Path, film: bytes) -> None:
    evil = "<img src=x onerror=document.title='taken'>.mp4.age"
    person = Person(engine, tmp_path)
    letter = about(datetime.now(UTC) + timedelta(days=2), [evil], TO[0])
    files = {"my.key": KEYS.text().encode(), evil: seal(film, TO), "about.age": letter}
    person.choose(*(person.put(name, data) for name, data in files.items()))
    assert evil in person.text("#chosen")
    person.open()
    person.plays()
    assert evil.removesuffix(".age") in person.text("#clips")
    assert person.engine.run("return [document.images.length, document.title]") == [
        1,
        "Viewer for locked clips",
    ]


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A server on this computer, and what it was asked for."""
    asked: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


REACH_OUT = """
const [to] = arguments;
const put = (tag, attributes) => new Promise((done) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.onload = made.onerror = done;
  document.body.append(made);
  setTimeout(done, 1000);
});
return Promise.all([
  fetch(to + "/fetch", { mode: "no-cors" }).catch(() => {}),
  put("img", { src: to + "/img" }), put("script", { src: to + "/script" }),
  put("video", { src: to + "/video" }), put("iframe", { src: to + "/iframe" }),
  put("link", { rel: "stylesheet", href: to + "/style" }),
]).then(() => true)"""


@pytest.mark.slow
def test_whatever_stands_in_the_page_it_asks_the_network_for_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    person = Person(engine, tmp_path)
    with listening() as (address, asked):
        assert person.engine.run(REACH_OUT, address)
        assert asked == []
        inline = """const made = document.createElement('script');
          made.textContent = 'document.title = "taken"'; document.body.append(made);
          return document.title"""
        assert person.engine.run(inline) == "Viewer for locked clips"
        # A page of another policy reaches it by all of these ways: the test can fail.
        free = person.put("free.html", b"<!DOCTYPE html><title>free</title><p>free")
        person.engine.go(free.as_uri())
        assert person.engine.run(REACH_OUT, address)
        ways = ("fetch", "img", "script", "video", "iframe", "style")
        assert {f"/{way}" for way in ways} <= set(asked)
        assert person.engine.run(inline) == "taken"


@pytest.mark.slow
def test_the_viewer_keeps_to_the_rules_of_accessibility_at_every_width(
    in_chromium: Chromium, tmp_path: Path, film: bytes
) -> None:
    """With a keyboard alone; and no request leaves for anywhere but the file itself."""
    page, asked = in_chromium.page, list[str]()
    page.on("request", lambda request: asked.append(request.url))
    person = Person(in_chromium, tmp_path)
    axe = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()

    def look(name: str) -> None:
        for width, height in (PHONE, (320, 256), LAPTOP, (1440, 900)):
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=SHOTS / f"viewer-{name}-{width}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        debugger = page.context.new_cdp_session(page)
        debugger.send("Runtime.evaluate", {"expression": axe})
        run = "axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
        options = {"expression": run, "awaitPromise": True, "returnByValue": True}
        found = debugger.send("Runtime.evaluate", options)["result"]["value"]
        debugger.detach()
        assert not found, json.dumps(found, indent=1)

    look("choose")
    person.choose(person.put("1.mp4.age", locked(WORDS, film)))
    page.keyboard.type("other words")
    page.keyboard.press("Enter")
    page.locator("#problem").wait_for()
    assert page.evaluate("document.activeElement.id") == "problem"
    assert page.title().startswith("Error:")
    look("problem")
    page.locator("#words").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type(WORDS)
    page.keyboard.press("Enter")
    person.plays()
    assert page.evaluate("document.activeElement.id") == "heading"
    page.evaluate("document.getElementById('video').pause()")
    look("watching")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "close":
            break
    page.keyboard.press("Enter")
    page.locator("#choosing").wait_for()
    ours = (tmp_path / NAME).as_uri()
    assert {url for url in asked if not url.startswith(("blob:", ours))} == set()
    assert sorted(os.listdir(tmp_path)) == ["1.mp4.age", NAME]
