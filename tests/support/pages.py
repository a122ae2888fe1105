"""A kit for the tests of the page: a clock that moves when told, a recorder that is only its files,
and a browser without JavaScript."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal, Self, cast

import msgspec
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache
from werkzeug.test import TestResponse

from appliance.age.recipients import parse_recipient
from appliance.config import Config
from appliance.film.manifest import (
    EndReason,
    FilmEnded,
    FilmStarted,
    manifest_lines,
)
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.permits import Permit, recipient_digest
from appliance.protocol.requests import Enrol, Request, SetTime, Stop, read_request
from appliance.protocol.status import RecorderStatus
from appliance.records.clock import Vouch, judge
from appliance.records.files import from_json, new_id, save_fact
from appliance.records.signing import Signer, open_note
from appliance.selftest.browser import Forms
from appliance.selftest.consenting import Said, consent
from appliance.vault.cases import OpenCase
from appliance.vault.keys import PrivateKeys, lock
from tests.support import films
from tests.support.clocks import FakeClock
from web_ui.app import build_parts, create_app
from web_ui.parts import Parts
from web_ui.session.access import PAIRED_COOKIE
from web_ui.system.usb_sticks import Sticks

PASSPHRASE = "lantern orchard velvet thimble cascade juniper"
NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)


@functools.cache
def service() -> PrivateKeys:
    return PrivateKeys.generate("service")


@functools.cache
def _practitioner(number: int) -> PrivateKeys:
    return PrivateKeys.generate("practitioner")


def practitioner(number: int = 0) -> PrivateKeys:
    return _practitioner(number)


@functools.cache
def _locked(number: int) -> bytes:
    return lock(practitioner(number), PASSPHRASE, work=1)


def locked(number: int = 0) -> bytes:
    """A practitioner's keys under PASSPHRASE, with the least work that the format allows."""
    return _locked(number)


LARGE = {
    "preset": "ultrafast",
    "g": "30",
    "maxrate": "8M",
    "minrate": "8M",
    "b": "8M",
    "bufsize": "1M",
    "x264-params": "filler=1:nal-hrd=cbr",
}
"""An encoder that fills a film up to a megabyte a second."""


class _Templates(BytecodeCache):
    """Templates compiled once for all tests: it is most of what a first page costs."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


_TEMPLATES = _Templates()


class FakeRecorder:
    """The files of a recorder: its status, and its answers to requests."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._clock = parts.clock
        self.signer = Signer.generate("kit-abcdefghijklmnop")
        self.status = RecorderStatus(
            kit="abcdefghijklmnop",
            verifier=str(self.signer.verifier),
            boot=self._clock.read().boot,
            boottime=0.0,
            state="idle",
            light="off",
            lit=False,
            lamp_proven=False,
            clock="doubtful",
            now=None,
            reason="",
            case="",
            permit="",
            recording="",
            limit=0.0,
            remaining=0.0,
            frames_in=0,
            frames_out=0,
            segments=0,
            bytes_sealed=0,
            ended=None,
            minutes_free=312.0,
            camera="scene",
            virtual=True,
            timings_ms={},
            answers={},
        )

    def show(self, **changes: object) -> None:
        """Write the status, as of now."""
        now = self._clock.read()
        changes = {"boottime": now.boottime} | changes
        self.status = msgspec.structs.replace(self.status, **changes)
        save_fact(self._parts.home.status("recorder"), self.status)

    def requests(self) -> list[Request]:
        found = self._parts.home.web_requests.glob("*.json")
        return sorted((read_request(path) for path in found), key=lambda r: (r.boottime, r.id))

    def carry_out(self) -> None:
        """Do what is asked for, as if somebody had pressed the button where one is needed."""
        answers = dict(self.status.answers)
        for request in self.requests():
            if request.id in answers:
                continue
            answers[request.id] = "done"
            if isinstance(request, Enrol):
                enrolled = Enrolled(service=request.service, practitioners=(request.practitioner,))
                save_fact(self._parts.home.kit / "enrolled.json", enrolled)
            elif isinstance(request, SetTime):
                self.believe(request)
            elif isinstance(request, Stop) and self.status.state == "filming":
                self.status = msgspec.structs.replace(self.status, state="idle", ended="page")
        self.show(answers=answers)

    def believe(self, request: SetTime) -> None:
        enrolled = self._parts.enrolled
        assert enrolled
        text, _ = open_note(request.note, [p.verifying_key() for p in enrolled.practitioners])
        judged = judge(self._clock.read(), from_json(text, Vouch), None)
        self.status = msgspec.structs.replace(self.status, clock=judged.trust.value, now=judged.now)

    def permit(self) -> Permit | None:
        """The permit that lies there, if it is signed by who is enrolled."""
        try:
            note = (self._parts.home.permits / "current").read_text()
        except FileNotFoundError:
            return None
        enrolled = self._parts.enrolled
        assert enrolled
        text, _ = open_note(note, [p.verifying_key() for p in enrolled.practitioners])
        return from_json(text, Permit)

    def write_film(
        self,
        case: str,
        recipient: str,
        frames: int = 75,
        why: EndReason = EndReason.LIMIT,
        encoder: Mapping[str, str] = films.LIKE_OURS,
        stream: bytes = b"",
        consent: str = "0" * 64,
        kind: Literal["visit", "review"] = "visit",
    ) -> str:
        """Put a sealed film of this case on the card: `stream`, or one whose frames are numbered,
        30 a second."""
        name = new_id()
        directory = self._parts.home.recording(name)
        directory.mkdir(parents=True)
        started = FilmStarted(
            recording=name,
            case=case,
            kit=self.status.kit,
            permit=new_id(),
            consent=consent,
            recipient=recipient_digest(recipient),
            kind=kind,
            limit=300,
            sound=False,
            boot=self.status.boot,
            started=NOW,
        )
        made = stream or films.film(frames, encoder=encoder)
        lines = films.seal_segments(made, directory, parse_recipient(recipient))
        ended = FilmEnded.after(lines, why, NOW)
        text = manifest_lines(started, *lines, ended)
        (directory / "manifest").write_text(self.signer.sign(text))
        return name


@dataclass
class Page:
    """What the browser shows."""

    response: TestResponse

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def text(self) -> str:
        return self.response.text

    @property
    def path(self) -> str:
        return self.response.request.path

    @property
    def words(self) -> str:
        """The text that a person reads, with single spaces."""
        return " ".join(_Words.of(self.text).split())

    def tagged(self, words: str) -> bool:
        """Whether a coloured tag says this."""
        return words in re.findall(r'<strong class="nhsuk-tag[^>]*>\s*(.*?)\s*</strong>', self.text)

    def form(self, action: str) -> dict[str, list[str]]:
        """What stands in the form that goes to `action`."""
        return {form.action: form.fields for form in reversed(Forms(self.text).found)}[action]


class Browser:
    """A browser without JavaScript, with cookies, on HTTPS."""

    def __init__(self, client: FlaskClient, host: str = "localhost:8443") -> None:
        self._client = client
        self._host = host

    def get(self, path: str, **headers: str) -> Page:
        return self._send("GET", path, headers=_named(headers))

    def head(self, path: str, **headers: str) -> Page:
        return self._send("HEAD", path, headers=_named(headers))

    def post(self, path: str, data: dict[str, object], **headers: str) -> Page:
        return self._send("POST", path, data=data, headers=_named(headers))

    def submit(self, path: str, action: str = "", **fields: object) -> Page:
        """Fill in a form of the page at `path` and send it. `__` in a name stands for a dash."""
        form: dict[str, object] = dict(self.get(path).form(action or path))
        form |= {name.replace("__", "-"): value for name, value in fields.items()}
        return self.post(action or path, {name: v for name, v in form.items() if v is not None})

    def consent(self, case: str, **said: object) -> Page:
        """Talk through a consent, step by step, and record it: CONSENT says what, `__` in a name
        stands for a dash, and None for what is not said. Whatever is refused comes back."""
        words = {
            name.replace("__", "-"): value if isinstance(value, list) else str(value)
            for name, value in said.items()
            if value is not None
        }
        token = self.get("/cases/new").form("/cases/new")["csrf_token"]

        def send(path: str, fields: Said, action: str) -> Page:
            if "/agree/" not in action:
                return self.submit(path, action, **fields)
            # Not every question is looked at: hundreds of tests begin with a consent.
            data = {"csrf_token": token, **fields}
            return self._send("POST", action, follow_redirects=False, data=data)

        return consent(case, cast(Said, words), self.get, send)

    def token(self) -> str:
        """The token of this browser's session."""
        with self._client.session_transaction(base_url=f"https://{self._host}") as session:
            return str(session.get("session", ""))

    def cookie(self, name: str) -> str:
        found = self._client.get_cookie(name, domain=self._host.partition(":")[0])
        return found.value if found else ""

    def take_cookie(self, name: str, value: str) -> None:
        self._client.set_cookie(name, value, domain=self._host.partition(":")[0])

    def _send(self, method: str, path: str, **options: object) -> Page:
        response = self._client.open(
            path,
            method=method,
            base_url=f"https://{self._host}",
            **({"follow_redirects": True} | options),  # type: ignore[arg-type]
        )
        return Page(response)


@dataclass
class WebKit:
    """A kit whose page is under test."""

    root: Path
    camera: str = "scene"
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW - timedelta(hours=3)))
    sticks: Sticks | None = None

    def __post_init__(self) -> None:
        self.config = Config(
            home=str(self.root / "home"),
            run=str(self.root / "run"),
            camera="scene" if self.camera == "scene" else "picamera",
            label=str(self.root / "label.toml"),
        )
        self.switched_off = 0
        home = self.config.places
        home.prepare(home.keys, home.cases, home.permits, home.web_requests, home.kit)
        home.prepare(home.recordings, home.inbox, home.run / "web", home.run / "recorder")
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.parts.session.end()

    def start(self) -> None:
        """Start the web process (again): what was in memory is gone."""
        if hasattr(self, "parts"):
            self.parts.session.end()
        self.parts = build_parts(self.config, self.clock, self.sticks, self._switch_off)
        self.home = self.parts.home
        self.app = create_app(self.parts)
        self.app.jinja_env.bytecode_cache = _TEMPLATES
        self.recorder = FakeRecorder(self.parts)
        self.recorder.show()
        self.browser = Browser(self.app.test_client())

    def _switch_off(self) -> None:
        self.switched_off += 1

    def another_browser(self, host: str = "localhost:8443") -> Browser:
        return Browser(self.app.test_client(), host)

    def start_again_with_cookies(self) -> None:
        """Start the web process again, seen by the same browser."""
        cookie = self.browser.cookie(PAIRED_COOKIE)
        self.start()
        self.browser.take_cookie(PAIRED_COOKIE, cookie)

    def pass_by(self, seconds: float) -> None:
        """Time passes; the recorder goes on answering."""
        self.clock.advance(seconds)
        now = self.recorder.status.now
        self.recorder.show(now=now + timedelta(seconds=seconds) if now else None)

    def enrol(self, *numbers: int) -> None:
        """As after a set-up with these practitioners (one, if none is named)."""
        numbers = numbers or (0,)
        cards = tuple(practitioner(number).card() for number in numbers)
        save_fact(
            self.home.kit / "enrolled.json", Enrolled(service=service().card(), practitioners=cards)
        )
        for number, card in zip(numbers, cards, strict=True):
            directory = self.home.keys / card.name
            directory.mkdir()
            (directory / "identity.age").write_bytes(locked(number))
            save_fact(directory / "card.json", card)

    def unlock(self, now: datetime = NOW) -> Page:
        """Enrol if that was not done, unlock, and have the time believed."""
        if self.parts.enrolled is None:
            self.enrol()
        page = self.browser.submit("/unlock", passphrase=PASSPHRASE, time=now.isoformat())
        self.recorder.carry_out()
        return page

    def make_case(self, label: str = "The family", **said: object) -> str:
        """A case with a goal and a consent to filming; returns its id."""
        page = self.browser.submit("/cases/new", label=label, check_word="lantern")
        case = page.path.split("/")[2]
        self.browser.submit(f"/cases/{case}/goals", goal="To notice when she starts something")
        self.browser.consent(case, **(CONSENT | said))
        return case

    def open_case(self, case: str) -> OpenCase:
        """The case as the practitioner who is unlocked has it open."""
        holder = self.parts.session.of(self.browser.token())
        assert holder
        return holder.case(case)

    def recipient(self, case: str) -> str:
        record = next(r for r in self.parts.cases.records() if r.id == case)
        return record.recipient


CONSENT: dict[str, object] = {
    "people__0__name": "Alex",
    "people__0__relation": "mother",
    "people__0__authority": "parent",
    "people__0__child": "Robin",
    "people__0__purposes": ["filming"],
    "limit": "300",
    "valid_until": "2027-02-01",
    "language": "English",
    "given": "signed",
    "choice": "y",
}


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found = ""
        self._unseen = 0

    @classmethod
    def of(cls, page: str) -> str:
        reader = cls()
        reader.feed(page)
        return reader.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in ("script", "style", "title")

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in ("script", "style", "title")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.found += data
