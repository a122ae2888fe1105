"""The acceptance of a finished kit: its own camera, button, light and microphone, and the plug.

A recorder of its own runs in a home of its own, with the kit's settings and parts; a person at the
kit (or a jig on a pin) presses when told. Nothing of any family is touched. What was seen stands in
a report that the service keeps with the kit. The run goes on after the plug was pulled.
"""

import json
import platform
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import msgspec

from appliance.age.identities import parse_identity
from appliance.config import Config
from appliance.film.recording import open_recording
from appliance.protocol.status import RecorderStatus
from appliance.records.clock import SystemClock
from appliance.records.files import save
from appliance.selftest.doctor import examine
from appliance.selftest.findings import Machine, ask
from appliance.selftest.kit import Kit
from appliance.selftest.seen import Seen, Step, Trial, require
from appliance.selftest.visit import Visit

SHORT = 10
"""Seconds filmed before the stop is pressed."""
_AT_MOST_LOST = 1.0
"""Seconds of film that a pulled plug may cost."""
_APART = 0.1
"""Seconds that sound may be shorter or longer than its picture at the end of a film."""
_MISSED, _A_FEW, _STANDS = 0.001, 2, 0.5
"""Of all pictures, how many a camera may leave out, and in any film; seconds that one may stand."""
_OFF = 0.01
"""Of the rate that was asked for: a sensor counts in its own lines, and never runs quite at it."""


class Hand(Protocol):
    """Presses the button and pulls the plug."""

    patience: float
    """Seconds more than the kit itself needs, until something has been done."""

    def press(self, kit: Kit, seconds: float) -> None: ...

    def pull_the_plug(self, kit: Kit) -> None:
        """Cut the kit's power. A real kit does not come back from this call."""


@dataclass
class Person:
    """A person at the kit, who is told what to do."""

    tell: Callable[[str], None]
    patience: float = 120.0

    def press(self, kit: Kit, seconds: float) -> None:
        self.tell("Now: press the button briefly.")

    def pull_the_plug(self, kit: Kit) -> None:
        self.tell("Now: pull the plug. Then switch the kit on and give the same command again.")
        while True:
            time.sleep(60)


class Virtual:
    """The virtual kit's own button, and a recorder that is killed."""

    patience = 0.0

    def press(self, kit: Kit, seconds: float) -> None:
        Kit.press(kit, seconds)

    def pull_the_plug(self, kit: Kit) -> None:
        kit.pull_the_plug("recorder")


class _KitInHand(Kit):
    """A kit whose button somebody presses."""

    def __init__(self, config: Config, logs: Path, hand: Hand) -> None:
        super().__init__(config, logs)
        self.hand = hand

    def press(self, seconds: float = 0.2) -> None:
        self.hand.press(self, seconds)

    def recorder_shows(
        self, what: str, seen: Callable[[RecorderStatus], bool], seconds: float = 10.0
    ) -> RecorderStatus:
        return super().recorder_shows(what, seen, seconds + self.hand.patience)


@dataclass
class _Plug:
    """What the run must remember after the power cut. The key opens the films of this run only."""

    recording: str
    key: str
    frame_rate: int
    frames: int = 0


class Acceptance(Trial):
    """One run, kept in `place` until it is done; `tell` hears each line as it is known."""

    _visit: Visit
    _plug: _Plug

    def __init__(
        self,
        config: Config,
        place: Path,
        hand: Hand,
        minutes: float,
        tell: Callable[[Step], object],
    ) -> None:
        super().__init__(tell)
        self._config, self._place, self._hand, self._minutes = config, place, hand, minutes

    def run(self) -> bool:
        """Run every test, or those left after the plug was pulled. True if all of them passed."""
        self._place.mkdir(parents=True, exist_ok=True)
        memory = self._place / "plug.json"
        if memory.exists():
            kept = json.loads(memory.read_text())
            self.steps = [Step(**line) for line in kept["lines"]]
            self._plug = _Plug(**kept["plug"])
        else:
            self._look_over()
            self._film_and_cut(memory)
        self.step("a pulled plug costs a second at most", self._after)
        memory.unlink()
        ok = all(step.ok for step in self.steps)
        if ok:
            shutil.rmtree(self._place)
        return ok

    def report(self) -> str:
        """The report as JSON: the machine and every line."""
        board = Path("/proc/device-tree/model")
        return json.dumps(
            {
                "kit": board.read_text().strip("\0") if board.exists() else platform.machine(),
                "software": version("attune"),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "settings": msgspec.to_builtins(self._config),
                "ok": all(step.ok for step in self.steps),
                "lines": [asdict(step) for step in self.steps],
            },
            indent=1,
        )

    def _look_over(self) -> None:
        # The units do not run meanwhile: what they say of themselves is left to the doctor.
        here = msgspec.structs.replace(self._config, home=str(self._place))
        for found in examine(here, Machine(Path("/"), SystemClock(), ask)):
            if found.what in ("camera", "microphone", "pins", "card", "room", "swap", "power"):
                self.done(Step(found.what, found.verdict != "bad", found.saw))

    def _film_and_cut(self, memory: Path) -> None:
        with self._kit() as kit:
            self.step("the recorder starts, and a press sets it up", lambda: self._begin(kit))
            self.step("a press films nothing while nobody armed the kit", self._unarmed)
            self.step("the light is read back", self._lamp)
            self.step("a film by press", self._by_press)
            if self._minutes:
                self.step(f"a film of {self._minutes:g} minutes, to its limit", self._to_limit)
            self.step("a film is begun for the plug", self._begin_plug)
            # Twice a second what the camera had given, for good: the loss is held against it.
            end = time.monotonic() + SHORT
            while time.monotonic() < end:
                self._plug.frames = self._visit.status.frames_in
                kept = {"plug": asdict(self._plug), "lines": [asdict(step) for step in self.steps]}
                save(memory, json.dumps(kept).encode(), mode=0o600)
                time.sleep(0.5)
            self._hand.pull_the_plug(kit)

    def _kit(self) -> _KitInHand:
        config = msgspec.structs.replace(
            self._config, home=str(self._place / "home"), run=str(self._place / "run")
        )
        return _KitInHand(config, self._place / "logs", self._hand)

    def _begin(self, kit: Kit) -> str:
        visit = self._visit = Visit.begin(kit)
        visit.vouch()
        return f"{visit.status.camera}, kit {visit.status.kit}"

    def _unarmed(self) -> str:
        kit = self._visit.kit
        kit.press()
        kit.recorder_shows("a refusal", lambda s: s.reason == "no-permit")
        require(self._visit.status.frames_in == 0, "the camera gave pictures")
        kit.recorder_shows("rest", lambda s: s.state == "idle")
        return "refused, and the camera stayed off"

    def _lamp(self) -> str:
        proven = self._visit.status.lamp_proven
        return "by its wire" if proven else "no: this kit's lamp is unproven, as its page says"

    def _by_press(self) -> str:
        self._film(10 * SHORT)
        time.sleep(SHORT)
        self._visit.kit.press()
        return self._checked(self._visit.ended(), "button")

    def _to_limit(self) -> str:
        seconds = round(60 * self._minutes)
        self._film(seconds)
        return self._checked(self._visit.ended(seconds + 30), "limit")

    def _begin_plug(self) -> str:
        key = self._visit.case.identity.secret_text()
        self._plug = _Plug(self._film(600).recording, key, self._config.pictures_a_second)
        return "filming"

    def _film(self, limit: int) -> RecorderStatus:
        self._visit.arm(limit=limit, sound=self._hears)
        return self._visit.film()

    @property
    def _hears(self) -> bool:
        return bool(self._config.microphone) or self._config.camera == "scene"

    def _checked(self, ended: RecorderStatus, why: str) -> str:
        """What a film that ended holds, opened and decoded. Raises PromiseBroken."""
        require(ended.ended == why, f"it ended by {ended.ended}")
        directory = self._visit.kit.home.recording(ended.recording)
        identity = self._visit.case.identity
        with closing(open_recording(directory, [identity], check=True)) as opened:
            film = Seen.of(opened.film.open())
        require(opened.complete, "a part of it is missing")
        counted = ended.frames_in, ended.frames_missed
        saw = judged(film, *counted, self._config.pictures_a_second, hears=self._hears)
        times = ", ".join(f"{name} {ms:.0f} ms" for name, ms in ended.timings_ms.items())
        return f"{saw}; {times}"

    def _after(self) -> str:
        plug = self._plug
        with self._kit() as kit:
            kit.start("recorder")
            kit.recorder_shows("the recorder", lambda s: s.state in ("idle", "ready"), 30)
        directory = kit.home.recording(plug.recording)
        with closing(open_recording(directory, [parse_identity(plug.key)])) as opened:
            pictures = Seen.of(opened.film.open()).frames
        lost = max(0, plug.frames - pictures) / plug.frame_rate
        require(lost <= _AT_MOST_LOST, f"{lost:.2f} s are lost")
        return f"{plug.frames} frames were seen, {pictures} are there: {lost:.2f} s lost"


def judged(film: Seen, given: int, missed: int, frame_rate: int, *, hears: bool) -> str:
    """What a whole film shows of the camera and the microphone that made it, by its own times;
    `given` pictures came from the camera and `missed` did not, by what the kit says. Raises
    PromiseBroken for a camera that leaves pictures out, stands or keeps another time, and for sound
    that does not end with its picture."""
    require(film.frames == given, f"{given} frames in, {film.frames} out")
    left_out = f"the camera left {missed} pictures out of {given}"
    require(missed <= max(_MISSED * given, _A_FEW), left_out)
    stood = max(after - before for before, after in pairwise(film.times))
    require(stood <= _STANDS, f"one picture stood for {float(stood):.2f} s")
    rate = f"{film.rate:.3f} pictures a second"
    require(abs(film.rate - frame_rate) <= _OFF * frame_rate, f"{rate} in place of {frame_rate}")
    sound = f"{film.sound_seconds:.2f} s of sound to {film.seconds:.2f} s of picture"
    require(not hears or abs(film.sound_seconds - film.seconds) <= _APART, sound)
    return f"{film.frames} frames opened of {given}, {left_out}, {rate}, {sound}"
