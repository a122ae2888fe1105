"""The recorder as a process of its own, with everything that the page would write for it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import av

from appliance.config import Config, write_config
from appliance.film.manifest import Manifest, read_manifest
from appliance.film.recording import open_recording
from appliance.protocol.cards import KitCard
from appliance.protocol.case_record import CaseRecord
from appliance.protocol.permits import Permit
from appliance.protocol.requests import Enrol, Framing, Preview, Request, SetTime, place_request
from appliance.protocol.status import RecorderStatus
from appliance.records.clock import SystemClock, Vouch
from appliance.records.files import load_fact, new_id, save, save_fact, to_json
from firmware.cameras.testcard import read_number
from tests.support.fakes import CASE, PRACTITIONER, SERVICE

CLOCK = SystemClock()
T = TypeVar("T")


def wait_for(answer: Callable[[], T | None], seconds: float = 60) -> T:
    end = time.monotonic() + seconds
    while (found := answer()) is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


class Process:
    """A recorder whose button is moved at its socket; its camera is the test card if no other is
    asked for."""

    def __init__(
        self, root: Path, program: tuple[str, ...] = ("-m", "firmware"), **settings: Any
    ) -> None:
        """`program`: what Python is asked to run."""
        small = {"camera": "scene", "width": 320, "height": 180, "segment_seconds": 2}
        config = Config(home=str(root / "home"), run=str(root / "run"), **(small | settings))
        self.config = config
        self._program = program
        self.home = config.places
        self.home.prepare(self.home.permits, self.home.web_requests, self.home.cases)
        self.settings = root / "attune.toml"
        write_config(self.settings, config)
        self.case = new_id()
        self.home.case(self.case).mkdir()
        save_fact(
            self.home.case(self.case) / "case.json",
            CaseRecord(id=self.case, recipient=str(CASE.recipient), state="open"),
        )
        self.running: list[subprocess.Popen[str]] = []

    def begin(self, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *self._program, "--config", str(self.settings)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.running.append(process)
        return process

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Begin, and wait until it is there."""
        began = CLOCK.read().boottime
        process = self.begin(**environment)
        self.shows(lambda s: s.boottime > began)
        return process

    def status(self) -> RecorderStatus | None:
        return load_fact(self.home.status("recorder"), RecorderStatus)

    def shows(self, seen: Callable[[RecorderStatus], bool]) -> RecorderStatus:
        try:
            return wait_for(lambda: s if (s := self.status()) and seen(s) else None)
        except AssertionError as error:
            raise AssertionError(f"{error}; it shows {self.status()}") from None

    def button(self, edge: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
            wire.sendto(edge.encode(), str(self.home.run / "recorder" / "virtual-button"))

    def press(self) -> None:
        self.button("down")
        time.sleep(0.15)
        self.button("up")
        time.sleep(0.1)  # no hand presses again any sooner

    def ask(self, request: Request) -> None:
        place_request(self.home, request)

    def set_up_and_arm(self, limit: int = 60, sound: bool = True) -> None:
        now = CLOCK.read()
        stamp = {"boot": now.boot, "boottime": now.boottime}
        service, practitioner = SERVICE.card(), PRACTITIONER.card()
        self.ask(Enrol(id=new_id(), service=service, practitioner=practitioner, **stamp))  # type: ignore[arg-type]
        self.shows(lambda s: s.state == "presence")
        self.press()
        status = self.shows(lambda s: "done" in s.answers.values())
        wall = datetime.now(UTC)
        vouch = Vouch(kit=status.kit, time=wall, boot=now.boot, boottime=CLOCK.read().boottime)
        note = PRACTITIONER.signer.sign(to_json(vouch).decode() + "\n")
        self.ask(SetTime(id=new_id(), note=note, **stamp))  # type: ignore[arg-type]
        permit = Permit(
            id=new_id(),
            kit=status.kit,
            case=self.case,
            recipient=str(CASE.recipient),
            consent="0" * 64,
            kind="visit",
            limit=limit,
            sound=sound,
            films=5,
            boot=now.boot,
            not_before=wall - timedelta(seconds=1),
            not_after=wall + timedelta(hours=1),
        )
        note = PRACTITIONER.signer.sign(to_json(permit).decode() + "\n")
        save(self.home.permits / "current", note.encode())
        self.shows(lambda s: s.state == "ready")

    def film(self, seconds: float) -> RecorderStatus:
        """Start a film and let it run so long."""
        self.press()
        self.shows(lambda s: s.state == "filming")
        return self.shows(lambda s: s.limit - s.remaining >= seconds)

    def manifest(self) -> Manifest:
        card = load_fact(self.home.kit / "kit.json", KitCard)
        assert card is not None
        (film,) = self.home.recordings.iterdir()
        return read_manifest(film, [card.verifying_key()])

    def numbers(self) -> list[int | None]:
        (film,) = self.home.recordings.iterdir()
        with (
            closing(open_recording(film, [CASE])) as opened,
            opened.film.open() as file,
            av.open(file) as container,
        ):
            return [read_number(frame) for frame in container.decode(container.streams.video[0])]

    def close(self) -> None:
        """Stop everything that was started."""
        for process in self.running:
            process.kill()
            process.communicate()


def preview(recorder: Process, open_it: bool, *, closely: bool = False) -> Preview:
    now, status = CLOCK.read(), recorder.status()
    assert status is not None
    said = Framing(kit=status.kit, boot=now.boot, boottime=now.boottime)
    note = PRACTITIONER.signer.sign(to_json(said).decode() + "\n")
    return Preview(
        id=new_id(),
        boot=now.boot,
        boottime=now.boottime,
        open=open_it,
        note=note,
        closely=closely,
    )
