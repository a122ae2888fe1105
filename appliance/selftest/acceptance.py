"""The acceptance of a finished kit: its own camera, button, light and microphone, and the plug.

Where the kit is installed its own recorder films, the unit, in its sandbox and on the data
partition, with a home of the acceptance's (`appliance.selftest.units`); elsewhere a process like
it. A person at the kit (or a jig on a pin) presses when told. Nothing of any family is touched.
What was seen and measured stands in a report that the service keeps with the kit. The run goes on
after the plug was pulled.
"""

import grp
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from appliance.age.identities import parse_identity
from appliance.board import ROOT
from appliance.config import Config
from appliance.errors import BadFile, NotPossible
from appliance.film.manifest import EndReason, read_manifest
from appliance.film.recording import open_recording
from appliance.protocol.status import STALE_SECONDS, RecorderStatus, State
from appliance.records.clock import SystemClock
from appliance.records.files import Fact, Timestamp, load_fact, save_fact
from appliance.selftest.doctor import examine
from appliance.selftest.findings import Machine, ask
from appliance.selftest.kit import Kit
from appliance.selftest.measures import (
    OF_MEMORY,
    Measure,
    Watch,
    number,
    of_the_card,
    of_the_memory,
    of_the_press,
    of_the_processor,
    of_the_start,
)
from appliance.selftest.seen import PromiseBroken, Seen, Step, Trial, require
from appliance.selftest.units import RECORDER, UNITS, InstalledKit, StandIn, installed, show
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

OF_THE_BOX = (
    *("camera", "width", "height", "frame_rate", "bit_rate", "segment_seconds", "mains_hz"),
    *("upside_down", "mirrored", "focus", "microphone", "button_pin", "light_pin", "read_back_pin"),
)
"""The settings that the report holds."""


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


class _InstalledKitInHand(_KitInHand, InstalledKit):
    """The same with the installed unit for a recorder."""


class _Plug(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What the run must remember of its last film. The key opens the films of this run only."""

    recording: str
    key: str
    frame_rate: int
    frames: int = 0


class _Run(Fact, frozen=True, kw_only=True, tag="acceptance-run/v1"):
    """What the run must remember after the power cut."""

    installed: bool
    lines: tuple[Step, ...]
    measures: tuple[Measure, ...]
    plug: _Plug


class Report(Fact, frozen=True, kw_only=True, tag="acceptance-report/v1"):
    """What a service keeps of a kit. It holds no key and no family's name, and of what tells this
    kit from others only the name on its label."""

    name: str
    """The kit's, as on its label; '' where it has none."""
    board: str
    software: str
    at: Timestamp
    units: Literal["installed", "not the installed units"]
    """Whether it was the kit's own recorder, in its sandbox, that filmed."""
    ok: bool
    """The run came to its end, every line held, and no figure is beyond its limit."""
    settings: dict[str, str | int | float | bool | None]
    """How the kit is built: of its service and its networks nothing."""
    lines: tuple[Step, ...]
    measures: tuple[Measure, ...]


class Acceptance(Trial):
    """One run; `tell` hears each line as it is known.

    What it films lies in `place`, on the partition of the kit's own films, until it is done.
    """

    _visit: Visit
    _plug: _Plug

    def __init__(
        self,
        config: Config,
        hand: Hand,
        minutes: float,
        tell: Callable[[Step], object],
        root: Path = ROOT,
    ) -> None:
        """`root`: below it are the kernel's files that say how the board is."""
        super().__init__(tell)
        self._config, self._hand, self._minutes, self._root = config, hand, minutes, root
        self._installed = installed()
        self.place = Path(config.home) / "acceptance"
        self._home = self.place / "home"
        self._run = Path(config.run) / "acceptance" if self._installed else self.place / "run"
        own = {"home": str(self._home), "run": str(self._run)}
        self._own = msgspec.structs.replace(config, **own)
        self._logs, self._memory = self.place / "logs", self.place / "plug.json"
        self._measures: dict[str, Measure] = {}
        self._began: tuple[float, float | None] = 0.0, None
        """When the film under way began, and the processor's time that the recorder had had."""
        self._ended = False

    @property
    def ok(self) -> bool:
        """The run came to its end, every line held, and no figure is beyond its limit."""
        beyond = any(one.verdict == "bad" for one in self._measures.values())
        return self._ended and all(step.ok for step in self.steps) and not beyond

    def run(self) -> bool:
        """Run every test, or those left after the plug was pulled; true if the kit is accepted.

        The kit's own recorder is as it was found when this returns or raises.
        """
        if self._installed:
            self._look_whether_free()
        begun = self._take_up()
        self._measure(self._start())
        try:
            if not begun:
                self._make_room()
                self._look_over()
            with self._standing_in() as back:
                if not begun:
                    self._film_and_cut()
                self.step("a pulled plug costs a second at most", self._after)
            if self._installed:
                self.step("the kit's own recorder is back", back)
            self._memory.unlink()
            self._ended = True
        except PromiseBroken:
            # It is judged: the next run begins anew.
            self._memory.unlink(missing_ok=True)
            raise
        finally:
            # The film of a run that goes on after the plug is wanted still.
            if not self._memory.exists():
                self._clear()
        return self.ok

    def report(self) -> Report:
        """What was seen and measured so far."""
        board = Path("/proc/device-tree/model")
        return Report(
            name=_name(self._config),
            board=board.read_text().strip("\0") if board.exists() else platform.machine(),
            software=version("attune"),
            at=SystemClock().read().wall.replace(microsecond=0),
            units="installed" if self._installed else "not the installed units",
            ok=self.ok,
            settings={name: getattr(self._config, name) for name in OF_THE_BOX},
            lines=tuple(self.steps),
            measures=tuple(self._measures.values()),
        )

    # --- Where it runs ----------------------------------------------------------------------------

    def _look_whether_free(self) -> None:
        if os.geteuid() != 0:
            raise NotPossible("The acceptance of a kit needs root.", "sudo attune hardware")
        with suppress(BadFile, OSError):
            status = load_fact(self._config.places.status("recorder"), RecorderStatus)
            if (
                status is not None
                and SystemClock().read().is_within(STALE_SECONDS, status)
                and status.state in (State.PREVIEW, State.FILMING, State.STOPPING, State.REMOVING)
            ):
                raise NotPossible("This kit is filming just now.", "Come back when it has ended.")

    def _take_up(self) -> bool:
        """True if the plug cut a run off, which goes on then. What any other left is cleared."""
        kept = None
        with suppress(BadFile, OSError):
            # Others may write beside this place: what somebody else made is no run.
            if self.place.lstat().st_uid == os.geteuid():
                kept = load_fact(self._memory, _Run)
        if kept is None or kept.installed is not self._installed:
            self._clear()
            return False
        self.steps, self._plug = list(kept.lines), kept.plug
        self._measures = {one.what: one for one in kept.measures}
        return True

    def _make_room(self) -> None:
        """The run's own place. Where the units run they may write in it as they may in the kit's
        home: the recorder what is its own, and nothing that root made."""
        if not self._installed:
            self.place.mkdir(parents=True)
            return
        for path, mode in ((self.place, 0o2750), (self._logs, 0o2750), (self._home, 0o3770)):
            _make(path, mode)

    def _clear(self) -> None:
        for path in (self.place, self._run):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @contextmanager
    def _standing_in(self) -> Iterator[Callable[[], str]]:
        """Where the kit's recorder is installed it takes the run's settings meanwhile. Gives what
        says, afterwards, that it is as it was."""
        if not self._installed:
            yield lambda: ""
            return
        with StandIn(self._logs / "attune.toml") as stand_in:
            yield stand_in.back

    def _kit(self) -> _KitInHand:
        if not self._installed:
            return _KitInHand(self._own, self._logs, self._hand)
        if not self._run.exists():
            # In memory: after the plug it is gone.
            _make(self._run, 0o3770)
        return _InstalledKitInHand(self._own, self._logs, self._hand)

    # --- What is measured -------------------------------------------------------------------------

    def _measure(self, *found: Measure) -> None:
        """Keep these; of two figures of the same the worse."""
        for one in found:
            before = self._measures.get(one.what)
            worse = before is None or before.value is None or (one.value or 0.0) > before.value
            if worse:
                self._measures[one.what] = one

    def _start(self) -> Measure:
        entered = "ActiveEnterTimestampMonotonic"
        return of_the_start(
            self._shown(RECORDER, entered),
            self._shown("multi-user.target", entered),
            self._shown("", "KernelTimestamp", "UserspaceTimestampMonotonic"),
        )

    def _shown(self, unit: str, *names: str) -> dict[str, str]:
        return show(unit, *names) if self._installed else {}

    def _processor(self) -> float | None:
        """Nanoseconds that the recorder has had."""
        return number(self._shown(RECORDER, "CPUUsageNSec"), "CPUUsageNSec")

    # --- What is tried ----------------------------------------------------------------------------

    def _look_over(self) -> None:
        self.done(
            Step(
                "whose recorder films",
                True,
                f"the installed unit, {RECORDER}" if self._installed else "not the installed units",
            )
        )
        here = msgspec.structs.replace(self._config, home=str(self.place))
        for found in examine(here, Machine(Path("/"), SystemClock(), ask)):
            if found.what in ("camera", "microphone", "pins", "card", "room", "swap", "power"):
                self.done(Step(found.what, found.verdict != "bad", found.saw))
        self._measure(*of_the_card(self.place))

    def _film_and_cut(self) -> None:
        with self._kit() as kit, Watch(self._root) as watch:
            self.step("the recorder starts, and a press sets it up", lambda: self._begin(kit))
            self.step("a press films nothing while nobody armed the kit", self._unarmed)
            self.step("the light is read back", self._lamp)
            self.step("a film by press", self._by_press)
            if self._minutes:
                self.step(f"a film of {self._minutes:g} minutes, to its limit", self._to_limit)
            self._measure(
                *watch.measures(),
                *(of_the_memory(one, self._shown(one, *OF_MEMORY)) for one in UNITS),
            )
            self.step("a film is begun for the plug", self._begin_plug)
            # Twice a second what the camera had given, for good: the loss is held against it.
            end = time.monotonic() + SHORT
            while time.monotonic() < end:
                self._plug.frames = self._visit.status.frames_in
                kept = _Run(
                    installed=self._installed,
                    lines=tuple(self.steps),
                    measures=tuple(self._measures.values()),
                    plug=self._plug,
                )
                save_fact(self._memory, kept, mode=0o600)
                time.sleep(0.5)
            self._hand.pull_the_plug(kit)

    def _begin(self, kit: Kit) -> str:
        visit = self._visit = Visit.begin(kit)
        visit.vouch()
        return visit.status.camera

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
        recording = self._film(600).recording
        self._plug = _Plug(recording=recording, key=key, frame_rate=self._config.pictures_a_second)
        return "filming"

    def _film(self, limit: int) -> RecorderStatus:
        self._visit.arm(limit=limit, sound=self._hears)
        filming = self._visit.film()
        self._began = time.monotonic(), self._processor()
        return filming

    @property
    def _hears(self) -> bool:
        return bool(self._config.microphone) or self._config.camera == "scene"

    def _checked(self, ended: RecorderStatus, why: str) -> str:
        """What a film that ended holds, opened and decoded. Raises PromiseBroken."""
        (began, before), now = self._began, self._processor()
        had = now - before if now is not None and before is not None else None
        self._measure(*of_the_press(ended), of_the_processor(had, time.monotonic() - began))
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
        ended = read_manifest(directory).ended
        why = ended.why if ended else None
        require(why is EndReason.POWER, f"the plug was not pulled, the film ended by {why}")
        with closing(open_recording(directory, [parse_identity(plug.key)])) as opened:
            pictures = Seen.of(opened.film.open()).frames
        lost = max(0, plug.frames - pictures) / plug.frame_rate
        require(lost <= _AT_MOST_LOST, f"{lost:.2f} s are lost")
        return f"{plug.frames} frames were seen, {pictures} are there: {lost:.2f} s lost"


def _name(config: Config) -> str:
    """The kit's, as on its label; '' where it has none."""
    try:
        label = msgspec.toml.decode(Path(config.label).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return label.get("name", "")


def _make(path: Path, mode: int) -> None:
    """A directory of root's in which what root makes belongs to the kit's group. Raises OSError if
    somebody put something there."""
    path.mkdir(mode=0o700)
    os.chown(path, 0, grp.getgrnam("attune").gr_gid)
    path.chmod(mode)


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
