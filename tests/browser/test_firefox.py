"""One walk in Firefox, over its own remote protocol (Marionette: JSON over a socket)."""

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.selftest.kit import Kit, free_port, wait_for
from tests.browser.conftest import PASSPHRASE, PATIENCE, page_of
from tests.support.pages import WebKit

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
pytestmark = pytest.mark.skipif(not FIREFOX, reason="no Firefox here: apt-get install firefox-esr")


class Firefox:
    """A Firefox without a window. A message is `length:[0, id, command, parameters]`, an answer
    `length:[1, id, error, result]`."""

    def __init__(self, port: int) -> None:
        self._wire = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._read()
        self._number = 0
        self.ask("WebDriver:NewSession", acceptInsecureCerts=True)

    def ask(self, command: str, **parameters: Any) -> Any:
        self._number += 1
        data = json.dumps([0, self._number, command, parameters])
        self._wire.sendall(f"{len(data)}:{data}".encode())
        _kind, _number, error, result = self._read()
        assert error is None, error
        return result.get("value") if isinstance(result, dict) else result

    def run(self, script: str, *given: Any) -> Any:
        """What `script` returns, or resolves to, in the page."""
        return self.ask("WebDriver:ExecuteScript", script=script, args=list(given))

    def go(self, address: str) -> None:
        self.ask("WebDriver:Navigate", url=address)

    def type(self, field: str, text: str) -> None:
        self.ask("WebDriver:ElementSendKeys", id=self._find(field), text=text)

    def click(self, what: str) -> None:
        self.ask("WebDriver:ElementClick", id=self._find(what))

    def close(self) -> None:
        self._wire.close()

    def _find(self, selector: str) -> str:
        found = self.ask("WebDriver:FindElement", using="css selector", value=selector)
        return str(next(iter(found.values())))

    def _read(self) -> Any:
        size = b""
        while (one := self._wire.recv(1)) not in (b":", b""):
            size += one
        data = b""
        while len(data) < int(size or 0):
            data += self._wire.recv(int(size) - len(data))
        return json.loads(data)


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    profile, port = tmp_path / "profile", free_port()
    profile.mkdir()
    (profile / "user.js").write_text(f'user_pref("marionette.port", {port});\n')
    running = subprocess.Popen(
        [str(FIREFOX), "--headless", "--marionette", "--no-remote", "--profile", str(profile)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "MOZ_HEADLESS": "1"},
    )
    try:

        def connected() -> Firefox | None:
            with contextlib.suppress(OSError):
                return Firefox(port)
            return None

        browser = wait_for("Firefox", connected, PATIENCE)
        yield browser
        browser.close()
    finally:
        running.terminate()
        running.wait(20)


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[tuple[Kit, str]]:
    """A kit that is set up, with one film of three seconds, and the path of its page."""
    with WebKit(tmp_path / "kit") as made:
        made.unlock()
        case = made.make_case("R and K")
        film = made.recorder.write_film(case, made.recipient(case), frames=90)
        with page_of(made, tmp_path / "logs") as running:
            yield running, f"/cases/{case}/films/{film}"


def test_in_firefox_a_film_plays_seeks_to_the_frame_and_a_moment_is_kept(
    firefox: Firefox, kit: tuple[Kit, str]
) -> None:
    running, film = kit
    address = f"https://localhost:{running.config.port}"
    firefox.go(address + film)
    assert firefox.ask("WebDriver:GetCurrentURL") == f"{address}/unlock"
    firefox.type("#passphrase", PASSPHRASE)
    firefox.click("#unlock button[type=submit]")
    wait_for(
        "the film",
        lambda: firefox.ask("WebDriver:GetCurrentURL") == address + film or None,
        PATIENCE,
    )
    ready = "return document.querySelector('#player video').readyState"
    wait_for("a picture", lambda: firefox.run(ready) >= 2 or None, PATIENCE)
    length = firefox.run("return document.querySelector('#player video').duration")
    assert abs(length - 3) < 0.1
    seek = """const [at] = arguments, video = document.querySelector('#player video');
    return new Promise(done => {
      video.onseeked = () => done(video.currentTime); video.currentTime = at; });"""
    for at in (2.5, 0.5, 1.0):
        assert abs(firefox.run(seek, at) - at) < 0.05
    play = """const video = document.querySelector('#player video'); video.muted = true;
    return video.play().then(() => true);"""
    assert firefox.run(play)
    now = "return document.querySelector('#player video').currentTime"
    wait_for("it plays", lambda: firefox.run(now) > 1.2 or None, PATIENCE)
    firefox.run("document.querySelector('#player video').pause()")
    for field, seconds in (("start", "0.5"), ("end", "1.5")):
        firefox.run("document.getElementById(arguments[0]).value = ''", field)
        firefox.type(f"#{field}", seconds)
    firefox.click("#mark button[type=submit]")
    kept = "return document.querySelectorAll('.app-moment video').length"
    wait_for("the moment", lambda: firefox.run(kept) or None, PATIENCE)
    told = "return document.getElementById('line-doing').textContent"
    assert "Not filming" in firefox.run(told)
