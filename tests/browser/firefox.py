"""Firefox over its own remote protocol (Marionette: JSON over a socket)."""

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from appliance.selftest.kit import free_port, wait_for

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")


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

    def choose(self, field: str, files: Sequence[Path]) -> None:
        self.type(field, "\n".join(map(str, files)))

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


@contextlib.contextmanager
def firefox_in(folder: Path, patience: float) -> Iterator[Firefox]:
    """A Firefox with a new profile in this folder; `patience` in seconds."""
    profile, port = folder / "profile", free_port()
    profile.mkdir()
    (profile / "user.js").write_text(f'user_pref("marionette.port", {port});\n')
    running = subprocess.Popen(
        [str(FIREFOX), "--headless", "--marionette", "--no-remote", "--profile", str(profile)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "MOZ_HEADLESS": "1"},
    )
    try:

        def connected() -> Firefox | None:
            with contextlib.suppress(OSError):
                return Firefox(port)
            return None

        browser = wait_for("Firefox", connected, patience)
        yield browser
        browser.close()
    finally:
        running.terminate()
        running.wait(20)
