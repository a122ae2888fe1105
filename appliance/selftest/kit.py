"""A whole kit on this computer: its three processes, its button, its page.

Each process is a real one, started as systemd starts it on a kit, and all of them end with this
object, however it ends.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import msgspec

from appliance.config import Config, write_config
from appliance.errors import BadFile, NotPossible
from appliance.protocol.status import RecorderStatus
from appliance.records.files import load_fact
from appliance.selftest.browser import Page

Process = Literal["recorder", "web", "sync"]
MODULES: dict[Process, str] = {
    "recorder": "firmware",
    "web": "web_ui",
    "sync": "appliance.sync",
}
"""Each process is started by name: nothing here imports one of them."""

_T = TypeVar("_T")


def command(process: Process, config: Path, *options: str) -> list[str]:
    """The command line that starts a process of the kit."""
    return [sys.executable, "-m", MODULES[process], "--config", str(config), *options]


def spawn(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program that writes to `log`; it gets SIGTERM when this process ends in any way."""
    with open(log, "ab") as file:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *words],  # noqa: S607 - Debian's own, always there
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # A Ctrl-C at the terminal goes to us alone; we then stop them in order.
            start_new_session=True,
        )


def is_taken(port: int) -> bool:
    """Whether something on this computer listens on this port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port on loopback that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def scene_config(
    root: Path, film: Path | None, store: Path, port: int = 0, *, drawn: str = ""
) -> Config:
    """Settings of a kit below `root` with a scene as its camera: `film`, or else what is drawn:
    FAMILY, or '' for the test card."""
    return Config(
        home=str(root / "home"),
        run=str(root / "run"),
        camera="scene",
        scene=str(film.resolve()) if film else drawn,
        port=port or free_port(),
        store=store.as_uri(),
    )


def at_midday(now: datetime) -> str:
    """A local time, as TZ names it, by which `now` (in UTC) is within the first minute after midday
    of the same date: what is agreed to for today does not end in an hour.

    POSIX.1-2017, 8.3: an offset is what must be added for UTC.
    """
    offset = 60 * now.hour + now.minute - 12 * 60
    return f"<midday>{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"


@contextlib.contextmanager
def local_time(zone: str) -> Iterator[None]:
    """Processes started inside have this local time, a value of TZ."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    try:
        yield
    finally:
        del os.environ["TZ"]
        if before is not None:
            os.environ["TZ"] = before


def wait_for(what: str, answer: Callable[[], _T | None], seconds: float) -> _T:
    """Call `answer` until it has one. Raises NotPossible after `seconds` without."""
    end = time.monotonic() + seconds
    while True:
        found = answer()
        if found is not None and found is not False:
            return found
        if time.monotonic() > end:
            raise NotPossible(f"Waited {seconds:g} s in vain for this: {what}.")
        time.sleep(0.01)


class Kit:
    """The processes of one kit. Use as a context manager; leaving it stops all of them."""

    def __init__(self, config: Config, logs: Path) -> None:
        self.config = config
        self.home = config.places
        self._logs = logs
        self._running: dict[Process, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)
        self.config_path = logs / "attune.toml"
        write_config(self.config_path, config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in tuple(self._running):
            self.stop(process)

    def configure(self, **changes: Any) -> None:
        """Change settings. A process reads them when it is started again."""
        self.config = msgspec.structs.replace(self.config, **changes)
        write_config(self.config_path, self.config)

    def start(self, process: Process, *options: str) -> None:
        """Start a process. It is not ready yet when this returns."""
        words = command(process, self.config_path, *options)
        self._running[process] = spawn(words, self._logs / f"{process}.log")

    def stop(self, process: Process) -> int:
        """Ask a process to end and wait for it; after 10 s it is killed. Returns its status."""
        running = self._running.pop(process)
        running.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return running.wait(10)
        running.kill()
        return running.wait()

    def pull_the_plug(self, process: Process) -> None:
        """Kill a process at once."""
        running = self._running.pop(process)
        running.send_signal(signal.SIGKILL)
        running.wait()

    def run(self, process: Process, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a process to its end and return its output."""
        return subprocess.run(
            command(process, self.config_path, *options),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def runs(self, process: Process) -> bool:
        """True if it was started and neither asked to end nor killed."""
        return process in self._running

    def pid(self, process: Process) -> int:
        """The number of a process that runs."""
        return self._running[process].pid

    def ended(self) -> list[Process]:
        """Processes that ended although nobody asked them to."""
        return [name for name, running in self._running.items() if running.poll() is not None]

    def last_words(self, process: Process) -> str:
        """The end of what a process wrote to its log."""
        path = self._logs / f"{process}.log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def status(self) -> RecorderStatus | None:
        """What the recorder is doing, or None while it has not said."""
        with contextlib.suppress(BadFile):
            return load_fact(self.home.status("recorder"), RecorderStatus)
        return None

    def recorder_shows(
        self, what: str, seen: Callable[[RecorderStatus], bool], seconds: float = 30.0
    ) -> RecorderStatus:
        """Wait until the recorder's status shows something. Raises NotPossible if it never does."""

        def look() -> RecorderStatus | None:
            if "recorder" in self.ended():
                raise NotPossible("The recorder ended by itself.", self.last_words("recorder"))
            status = self.status()
            return status if status and seen(status) else None

        try:
            return wait_for(what, look, seconds)
        except NotPossible as error:
            status = self.status()
            shown = f"It showed: {status.state} {status.reason}" if status else "It showed nothing."
            raise NotPossible(error.sentence, f"{error.hint}{shown}") from error

    def button(self, edge: Literal["down", "up"]) -> None:
        """Move the virtual button, which a kit has only while its camera is a scene."""
        path = self.home.virtual_button
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
            try:
                wire.sendto(edge.encode(), str(path))
            except OSError as error:
                raise NotPossible(
                    f"The virtual button does not answer: {error.strerror}."
                ) from error

    def press(self, seconds: float = 0.2) -> None:
        """A press of the button, let go after `seconds`; no hand presses again any sooner."""
        self.button("down")
        time.sleep(seconds)
        self.button("up")
        time.sleep(0.1)

    def page(self) -> "Page":
        """A browser's view of the kit's page, trusting the certificate that the kit made."""
        certificate = self.home.keys.certificate
        wait_for("the page's certificate", lambda: certificate.exists() or None, 20)
        page = Page(f"https://127.0.0.1:{self.config.port}", certificate)
        wait_for("the page", page.answers, 20)
        return page

    def set_up(
        self, page: "Page", service_card: str, practitioner_key: bytes, passphrase: str
    ) -> RecorderStatus:
        """First set-up as a person does it: two files on the page, one press of the button.

        Returns what the recorder showed while it waited for the press.
        """
        answer = page.submit(
            "/setup",
            {"service_card": service_card, "passphrase": passphrase},
            files={"practitioner_key_file": practitioner_key},
        )
        if answer.status != 200:
            raise NotPossible(f"The page refused the set-up ({answer.status}).")
        shown = self.recorder_shows("presence asked for", lambda s: s.state == "presence")
        self.press()
        self.recorder_shows("the answer", lambda s: "done" in s.answers.values())
        wait_for("the page to know", lambda: "unlock" in page.get("/").path or None, 10)
        return shown
