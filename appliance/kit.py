"""A whole kit on this computer: its three processes, its button, its page.

For the demonstration and the rehearsal. Each process is a real one, started as systemd starts it
on a kit, and all of them end with this object, however it ends.
"""

import contextlib
import http.client
import http.cookiejar
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec

from appliance.config import Config, write_config
from appliance.errors import BadFile, NotPossible
from appliance.protocol.permits import CURRENT, Permit
from appliance.protocol.requests import Enrol, SetTime, place_request
from appliance.protocol.status import RecorderStatus
from appliance.records.clock import SystemClock, Vouch
from appliance.records.files import load_fact, new_id, save, to_json
from appliance.vault.cases import Cases, Details, OpenCase
from appliance.vault.keys import PrivateKeys

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
    """Start a program that writes to `log` and is asked to end when we end, however we end."""
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
    """Whether something on this computer listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port on loopback that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def at_midday(now: datetime) -> str:
    """A local time, as TZ names it, by which `now` (in UTC) is within the first minute after midday
    of the same date: what is agreed to for today does not end in an hour.

    POSIX.1-2017, 8.3: an offset is what must be added for UTC.
    """
    offset = 60 * now.hour + now.minute - 12 * 60
    return f"<midday>{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"


@contextlib.contextmanager
def local_time(zone: str) -> Iterator[None]:
    """What is started inside lives by this local time, a value of TZ."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    try:
        yield
    finally:
        del os.environ["TZ"]
        if before is not None:
            os.environ["TZ"] = before


def wait_for(what: str, answer: Callable[[], _T | None], seconds: float) -> _T:
    """Ask again and again until there is an answer. Raises NotPossible when there is none."""
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in tuple(self._running):
            self.stop(process)

    def configure(self, **changes: Any) -> None:
        """Change settings. A process takes them in when it is started again."""
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
        """Kill a process where it stands."""
        running = self._running.pop(process)
        running.send_signal(signal.SIGKILL)
        running.wait()

    def run(self, process: Process, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a process to its end and give back what it said."""
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
        path = self.home.run / "recorder" / "virtual-button"
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
        certificate = self.home.keys / "tls.crt"
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


@dataclass(frozen=True)
class Visit:
    """A kit at a family's home whose recorder runs alone: what the page would write is written
    here. A practitioner and a service are enrolled, and there is one case."""

    kit: Kit
    keys: PrivateKeys
    service: PrivateKeys
    case: OpenCase

    @classmethod
    def begin(cls, kit: Kit) -> Self:
        """Start the recorder and set it up, with a press. Nobody has vouched for the time yet."""
        kit.home.prepare(kit.home.permits, kit.home.web_requests, kit.home.cases)
        kit.start("recorder")
        kit.recorder_shows("the recorder", lambda s: s.state == "idle", 20)
        keys, service = PrivateKeys.generate("practitioner"), PrivateKeys.generate("service")
        now = SystemClock().read()
        enrol = Enrol(
            id=new_id(),
            boot=now.boot,
            boottime=now.boottime,
            service=service.card(),
            practitioner=keys.card(),
        )
        place_request(kit.home, enrol)
        kit.recorder_shows("presence asked for", lambda s: s.state == "presence")
        kit.press(0.1)
        kit.recorder_shows("enrolled", lambda s: s.answers.get(enrol.id) == "done")
        details = Details(label="nobody's family", check_word="harbour")
        case = Cases(kit.home).create(details, keys, service.card(), [keys.signer.verifier])
        return cls(kit, keys, service, case)

    @property
    def status(self) -> RecorderStatus:
        found = self.kit.status()
        assert found is not None
        return found

    def vouch(self, time: datetime | None = None) -> None:
        """Say what time it is, as unlocking the page does; the truth if no `time` is given."""
        now = SystemClock().read()
        word = Vouch(
            kit=self.status.kit, time=time or now.wall, boot=now.boot, boottime=now.boottime
        )
        note = self.keys.signer.sign(to_json(word).decode() + "\n")
        request = SetTime(id=new_id(), boot=now.boot, boottime=now.boottime, note=note)
        place_request(self.kit.home, request)
        self.kit.recorder_shows("an answer", lambda s: request.id in s.answers)

    def permit(self, **changes: Any) -> Permit:
        """A permit that is right in every field, but for `changes`."""
        now = datetime.now(UTC)
        permit = Permit(
            id=new_id(),
            kit=self.status.kit,
            case=self.case.id,
            recipient=self.case.record.recipient,
            consent="0" * 64,
            kind="visit",
            limit=20,
            sound=True,
            films=5,
            boot=self.status.boot,
            not_before=now - timedelta(minutes=1),
            not_after=now + timedelta(hours=1),
        )
        return msgspec.structs.replace(permit, **changes)

    def place(self, note: str) -> None:
        """Put a text where the order to film lies, whatever it is."""
        save(self.kit.home.permits / CURRENT, note.encode())

    def arm(self, **changes: Any) -> Permit:
        """Arm the kit and wait for its light to say so."""
        permit = self.permit(**changes)
        self.place(self.keys.signer.sign(to_json(permit).decode() + "\n"))
        self.kit.recorder_shows("ready", lambda s: s.state == "ready" and s.permit == permit.id)
        return permit

    def film(self) -> RecorderStatus:
        """Press, and wait until film is on the card."""
        self.kit.press(0.1)
        return self.kit.recorder_shows(
            "filming", lambda s: s.state == "filming" and s.frames_out > 0
        )

    def ended(self, seconds: float = 30.0) -> RecorderStatus:
        """Wait for the film to end."""
        return self.kit.recorder_shows(
            "the end", lambda s: bool(s.ended) and s.state not in ("filming", "stopping"), seconds
        )


class Form:
    """One form of a page: where it goes and what stands in it already."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.fields: list[tuple[str, str]] = []


class _Forms(HTMLParser):
    """Reads a page's forms as a browser without JavaScript would send them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._inside: Form | None = None
        self._select: str = ""
        self._area: str = ""
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = Form(have.get("action", ""))
            self.found.append(self._inside)
        if self._inside is None:
            return
        name, value = have.get("name", ""), have.get("value", "")
        if tag == "input" and name and have.get("type") not in ("file", "submit", "button"):
            if have.get("type") not in ("checkbox", "radio") or "checked" in have:
                self._inside.fields.append((name, value))
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in have:
            self._inside.fields.append((self._select, value))
        elif tag == "textarea":
            self._area, self._text = name, ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area and self._inside:
            self._inside.fields.append((self._area, self._text.removeprefix("\n")))
            self._area = ""
        elif tag == "select":
            self._select = ""
        elif tag == "form":
            self._inside = None


class Answer:
    """What the page answered: status, address after redirects, headers, body."""

    def __init__(self, status: int, url: str, headers: Message, body: bytes) -> None:
        self.status = status
        self.path = urllib.parse.urlsplit(url).path
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class Page:
    """The kit's page as a person without JavaScript uses it: pages, forms, cookies."""

    def __init__(self, address: str, certificate: Path) -> None:
        self.address = address
        context = ssl.create_default_context(cafile=str(certificate))
        self._open = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        ).open

    def answers(self) -> bool | None:
        """True once the page is there, None before."""
        try:
            self.get("/")
        except (OSError, http.client.HTTPException):
            return None
        return True

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        """Ask for a page, or a part of it with a Range header. Refusals are answers, too."""
        request = urllib.request.Request(
            self.address + path, headers=dict(headers or {}), method=method
        )
        return self._send(request)

    def submit(
        self,
        path: str,
        fields: Mapping[str, str | Sequence[str]],
        *,
        form: str = "",
        files: Mapping[str, bytes] | None = None,
    ) -> Answer:
        """Fill in the form of the page at `path` whose action is `form` (`path` itself by default).

        Fields not named keep what stands in them. Raises NotPossible if there is no such form.
        """
        shown = self.get(path)
        forms = _Forms()
        forms.feed(shown.text)
        action = form or path
        found = next((f for f in forms.found if (f.action or shown.path) == action), None)
        if found is None:
            raise NotPossible(f"The page {path} ({shown.status}) has no form for {action}.")
        pairs = [(name, value) for name, value in found.fields if name not in fields]
        for name, values in fields.items():
            pairs += [(name, value) for value in ([values] if isinstance(values, str) else values)]
        body, kind = _multipart(pairs, files or {})
        headers = {"Content-Type": kind, "Referer": self.address + path, "Origin": self.address}
        return self._send(urllib.request.Request(self.address + action, body, headers))

    def _send(self, request: urllib.request.Request) -> Answer:
        try:
            with self._open(request, timeout=60) as answer:
                return Answer(answer.status, answer.url, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.url or "", error.headers, error.read())


def _multipart(pairs: Sequence[tuple[str, str]], files: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A form as browsers send one that has files in it (RFC 7578): the body and its type."""
    boundary = f"form-{new_id()}"
    parts = [
        *((f'name="{name}"', value.encode()) for name, value in pairs),
        *((f'name="{name}"; filename="file"', data) for name, data in files.items()),
    ]
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n"
        for head, data in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
