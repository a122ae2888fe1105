"""WebKitGTK: the nearest relative of an iPad's browser that runs on Debian.

MiniBrowser in a display of its own, driven as W3C WebDriver says (JSON over HTTP, one path a
command). docs/pages.md says what it is not of an iPad.
"""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from appliance.selftest.kit import free_port, is_taken, spawn, wait_for

DRIVER = shutil.which("WebKitWebDriver")
MINI_BROWSER = next(iter(sorted(Path("/usr/lib").glob("*/webkit*/MiniBrowser"))), None)
"""Debian keeps it beside the engine, not among the programs; of several engines any will do."""
LACKING = ", ".join(
    name
    for name, found in (
        ("webkit2gtk-driver", DRIVER and MINI_BROWSER),
        ("xvfb", shutil.which("Xvfb")),
        ("gstreamer1.0-libav", next(Path("/usr/lib").glob("*/gstreamer-1.0/libgstlibav.so"), None)),
    )
    if not found
)
"""The packages, of those that it needs, that are not here."""
SIZE = (1024, 1366)
"""An iPad's, in points, upright."""
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""By this name WebDriver tells an element (W3C WebDriver, 11)."""
_NAMED = """const [which, name] = arguments;
const text = one => (one.getAttribute("aria-label") || one.innerText).replace(/\\s+/g, " ").trim();
const there = [...document.querySelectorAll(which)].filter(one => one.checkVisibility());
return there.find(one => text(one) === name) || there.find(one => text(one).startsWith(name));"""
_LABELLED = """const [name] = arguments;
const label = [...document.querySelectorAll("label")].find(
  one => one.innerText.trim().startsWith(name) && one.checkVisibility());
return label && label.control;"""
_SEES = "return document.body && document.body.innerText.includes(arguments[0])"


class DriverError(Exception):
    """The browser could not do what it was asked for; it says which error of WebDriver's it is."""


class WebKitGTK:
    """A person at this browser. Whatever is not there yet is waited for."""

    def __init__(self, port: int, patience: float) -> None:
        self._port, self._patience = port, patience
        self._session = ""
        options = {"binary": str(MINI_BROWSER), "args": ["--automation"]}
        wanted = {"acceptInsecureCerts": True, "webkitgtk:browserOptions": options}
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{made['sessionId']}"
        self.version: str = made["capabilities"]["browserVersion"]
        self.tell("/timeouts", script=int(1000 * patience), pageLoad=int(1000 * patience))
        self.size(*SIZE)

    # --- The wire -------------------------------------------------------------------------------

    def tell(self, command: str, **parameters: Any) -> Any:
        """Send a command of this session. Raises DriverError."""
        return self._ask("POST", self._session + command, parameters)

    def close(self) -> None:
        """Close the browser."""
        self._ask("DELETE", self._session, None)

    def _ask(self, method: str, path: str, body: object) -> Any:
        wire = HTTPConnection("127.0.0.1", self._port, timeout=2 * self._patience)
        with contextlib.closing(wire):
            wire.request(method, path, None if body is None else json.dumps(body))
            answer = wire.getresponse()
            value = json.loads(answer.read())["value"]
        if answer.status != 200:
            raise DriverError(f"{path.rpartition('/')[2]}: {value['error']}: {value['message']}")
        return value

    # --- What a person does ---------------------------------------------------------------------

    def size(self, width: int, height: int) -> None:
        """Make the window so large."""
        self.tell("/window/rect", width=width, height=height)

    def go(self, address: str, /) -> None:
        self.tell("/url", url=address)

    def take_cookie(self, name: str, value: str) -> None:
        """Have a cookie of the host whose page is there."""
        cookie = {"name": name, "value": value, "path": "/", "secure": True, "httpOnly": True}
        self.tell("/cookie", cookie=cookie)

    @property
    def address(self) -> str:
        return str(self._ask("GET", f"{self._session}/url", None))

    def arrives(self, address: str) -> None:
        """Wait until the browser is led to this address."""
        wait_for(address, lambda: self.address == address or None, self._patience)

    def sees(self, words: str) -> None:
        """Wait until these words are to be read."""
        self.waits(words, _SEES, words)

    def waits(self, what: str, script: str, *given: Any) -> Any:
        """Wait until `script` returns something that is true; return it."""

        def answer() -> Any:
            # Between two pages there is none to ask.
            with contextlib.suppress(DriverError):
                return self.run(script, *given) or None
            return None

        return wait_for(what, answer, self._patience)

    def run(self, script: str, /, *given: Any) -> Any:
        return self.tell("/execute/sync", script=script, args=list(given))

    def type(self, field: str, text: str, /) -> None:
        self.tell(f"/element/{self._find(field)}/value", text=text)

    def write(self, field: str, text: str) -> None:
        """Write into a field, in place of what stands there."""
        self.tell(f"/element/{self._find(field)}/clear")
        self.type(field, text)

    def choose(self, field: str, files: Sequence[Path], /) -> None:
        self.type(field, "\n".join(map(str, files)))

    def keys(self, text: str) -> None:
        """Press keys, wherever the focus is."""
        pressed = [{"type": kind, "value": one} for one in text for kind in ("keyDown", "keyUp")]
        self._act({"type": "key", "id": "keys", "actions": pressed})

    def click(self, what: str, /) -> None:
        self._click(self._find(what))

    def press(self, name: str) -> None:
        """Use the button of this name, or one whose name begins so."""
        self._click(self._seek(f"the button {name}", _NAMED, "button", name))

    def follow(self, name: str) -> None:
        """Follow the link of this name, or one whose name begins so."""
        self._click(self._seek(f"the link {name}", _NAMED, "a", name))

    def tick(self, label: str) -> None:
        """Choose what this label, or the first one that begins so, stands beside."""
        self._click(self._seek(f"what {label} stands beside", _LABELLED, label))

    def draw(self, on: str, points: Sequence[tuple[float, float]], rest: float = 0.02) -> None:
        """Press at the first point, go by the others, let go.

        A point is parts of the element's width and height, from its middle; `rest` is the time in
        seconds at each.
        """
        element = self._find(on)
        self.run("arguments[0].scrollIntoView({ block: 'center' })", {_ELEMENT: element})
        rect = self._ask("GET", f"{self._session}/element/{element}/rect", None)
        steps: list[dict[str, Any]] = []
        for across, down in points:
            steps.append(
                {
                    "type": "pointerMove",
                    "origin": {_ELEMENT: element},
                    "x": int(across * rect["width"]),
                    "y": int(down * rect["height"]),
                    "duration": 0,
                }
            )
            if len(steps) == 1:
                steps.append({"type": "pointerDown", "button": 0})
            steps.append({"type": "pause", "duration": int(1000 * rest)})
        steps.append({"type": "pointerUp", "button": 0})
        mouse = {"pointerType": "mouse"}
        self._act({"type": "pointer", "id": "mouse", "parameters": mouse, "actions": steps})

    def hold(self, what: str) -> None:
        """Press a button like a real one: down, held, let go."""
        self.draw(what, [(0, 0)], rest=0.2)

    def _act(self, source: dict[str, Any]) -> None:
        self.tell("/actions", actions=[source])

    def _click(self, element: str) -> None:
        self.tell(f"/element/{element}/click")

    def _find(self, selector: str) -> str:
        return self._seek(selector, "return document.querySelector(arguments[0])", selector)

    def _seek(self, what: str, script: str, *given: str) -> str:
        return str(self.waits(what, script, *given)[_ELEMENT])


@contextlib.contextmanager
def webkitgtk_in(place: Path, patience: float) -> Iterator[WebKitGTK]:
    """A browser that runs until the end and keeps nothing but below `place`. It gives up after
    `patience` seconds."""
    run = place / "run"
    run.mkdir(parents=True, mode=0o700)
    with _display(place) as display:
        port = free_port()
        env = {"HOME": str(place), "XDG_RUNTIME_DIR": str(run), "DISPLAY": display}
        words = ["env", *(f"{name}={value}" for name, value in env.items())]
        running = spawn([*words, str(DRIVER), f"--port={port}"], place / "driver.log")
        try:
            wait_for("WebKitWebDriver", lambda: is_taken(port), patience)
            browser = WebKitGTK(port, patience)
            yield browser
            browser.close()
        finally:
            running.terminate()
            running.wait(20)


@contextlib.contextmanager
def _display(place: Path) -> Iterator[str]:
    """A display that nobody sees; it finds a number for itself."""
    told, tell = os.pipe()
    with open(place / "display.log", "wb") as log:
        running = subprocess.Popen(
            ["Xvfb", "-displayfd", str(tell), "-screen", "0", "1600x1600x24", "-nolisten", "tcp"],
            stdout=log,
            stderr=log,
            pass_fds=[tell],
        )
    os.close(tell)
    try:
        with os.fdopen(told) as number:
            yield f":{number.readline().strip()}"
    finally:
        running.terminate()
        running.wait(20)
