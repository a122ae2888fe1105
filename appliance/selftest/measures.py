"""What an acceptance measures of a kit, and from where on each figure is a reason to refuse it.

What this machine does not say is unknown, which is not good. Every limit is a constant here, with
its reason.
"""

import os
import re
import statistics
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import msgspec

from appliance.board import ROOT, Throttle, heat, throttled
from appliance.protocol.status import RecorderStatus

Verdict = Literal["good", "bad", "unknown"]

WARMEST = 75.0
"""Degrees Celsius while it films. A Pi slows down at 80 (`appliance.board`), and the room of a
family may be warmer than the one where the kit is tried."""
LIGHT_MS = 100.0
"""Milliseconds from the button to the light: what answers later is not felt as an answer to the
press (R. B. Miller, "Response time in man-computer conversational transactions", 1968)."""
SEALED_MS = 4000.0
"""Milliseconds from the button to the first sealed pictures on the card: a camera takes a second or
two to start, and the recorder itself gives one up that shows nothing for 2 s after that."""
LAMP_MS = 10.0
"""Milliseconds from the pin to a lamp that is seen to follow: half of what the recorder waits
(`firmware.light`), for a lamp and an eye that will be older, and colder, than today."""
BUSIEST = 0.6
"""Of the whole processor, what filming may take: the page, the sender and the system want the rest,
and a Pi that has grown warm has less of it."""
FULLEST = 0.9
"""Of the memory that a unit may have, its peak: at all of it the kernel ends the unit."""
SYNC_MEDIAN_MS, SYNC_WORST_MS = 50.0, 1000.0
"""Milliseconds that the card may take for a small write to be on it. A film is synced twice a
second and more, and each must leave time for the next; what the worst takes, a pulled plug may
cost, and that is a second at most."""
READY_SECONDS = 60.0
"""From the kernel's start to a recorder that hears the button: a visit begins with switching on."""
OF_MEMORY = ("MemoryPeak", "MemoryMax", "MainPID")
"""What `of_the_memory` wants to be shown of a unit."""
_SYNCS = 100
_EVERY = 1.0
"""Seconds between two looks at the board; its firmware is asked by the kernel every 2 s."""
_UNSET = 1 << 63
"""systemd shows a figure that it does not have as the largest number that there is."""


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One figure, what it may be at most, and what that makes of it."""

    what: str
    verdict: Verdict
    value: float | None
    """None where this machine does not say."""
    limit: float
    unit: str
    saw: str
    """In words, with how exactly it is known."""

    def __str__(self) -> str:
        return f"{self.saw} (at most {' '.join(f'{self.limit:g} {self.unit}'.split())})"


def measured(what: str, value: float | None, limit: float, unit: str, saw: str) -> Measure:
    """A figure that is good up to its limit, or unknown; `saw` stands behind the figure."""
    if value is None:
        return Measure(
            what=what,
            verdict="unknown",
            value=None,
            limit=limit,
            unit=unit,
            saw=f"not known: {saw}",
        )
    value = round(value, 3)
    return Measure(
        what=what,
        verdict="good" if value <= limit else "bad",
        value=value,
        limit=limit,
        unit=unit,
        saw=f"{value:g} {unit}".rstrip() + f", {saw}",
    )


class Watch:
    """Looks at the board again and again, in a thread of its own, while it is entered."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._ended = threading.Event()
        self._looker = threading.Thread(target=self._keep_looking, daemon=True)
        self._warmest: float | None = None
        self._held_back: Throttle | None = None
        first = throttled(root)
        self._before = first.lately if first else Throttle(0)
        """What the firmware still remembers of the time before."""

    def __enter__(self) -> Self:
        self._looker.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._looker.join()

    def look(self) -> None:
        """Take in what the board says now."""
        degrees = heat(self._root)
        if degrees is not None:
            self._warmest = max(degrees, self._warmest or degrees)
        said = throttled(self._root)
        if said is not None:
            # What it forgets and then says again is new.
            self._before &= said.lately
            new = said.now | (said.lately & ~self._before)
            self._held_back = (self._held_back or Throttle(0)) | new

    def measures(self) -> list[Measure]:
        """The highest temperature, and whether anything was held back."""
        held = self._held_back
        return [
            measured(
                "highest temperature",
                self._warmest,
                WARMEST,
                "degrees",
                "looked at every second" if self._warmest else "this machine tells no temperature",
            ),
            measured(
                "held back by the firmware",
                None if held is None else float(held),
                0.0,
                "",
                "this machine does not say" if held is None else f"while it filmed: {held}",
            ),
        ]

    def _keep_looking(self) -> None:
        while True:
            self.look()
            if self._ended.wait(_EVERY):
                return


def of_the_press(ended: RecorderStatus) -> list[Measure]:
    """How soon a film by press began, as the recorder says of itself: its own monotonic clock, from
    the last edge of the button when it was let go."""
    said = "by the recorder's own clock, from when the button was let go"
    light, sealed = (ended.timings_ms.get(f"release_to_{what}") for what in ("light", "sealed"))
    follows = ended.lamp_follows_ms
    lamp = (
        "the slowest of all its edges, to about a millisecond"
        if follows is not None
        else "nothing reads this kit's lamp back"
    )
    return [
        measured("press to light", light, LIGHT_MS, "ms", said),
        measured("press to first sealed pictures", sealed, SEALED_MS, "ms", said),
        measured("lamp follows its pin", follows, LAMP_MS, "ms", lamp),
    ]


def of_the_card(directory: Path) -> list[Measure]:
    """How long the card takes for small writes, in a file without a name. Raises OSError."""
    took = []
    file = os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(_SYNCS):
            os.write(file, os.urandom(4096))
            began = time.monotonic()
            os.fdatasync(file)
            took.append(1000 * (time.monotonic() - began))
    finally:
        os.close(file)
    said = f"of {_SYNCS} writes of 4 KiB"
    return [
        measured("card sync, median", statistics.median(took), SYNC_MEDIAN_MS, "ms", said),
        measured("card sync, worst", max(took), SYNC_WORST_MS, "ms", said),
    ]


def of_the_processor(nanoseconds: float | None, seconds: float) -> Measure:
    """The recorder's share of all cores while a film of so many seconds was made."""
    cores = os.cpu_count() or 1
    return measured(
        "recorder's share of the processor",
        None if nanoseconds is None else nanoseconds / 1e9 / seconds / cores,
        BUSIEST,
        "",
        "nobody counts it here" if nanoseconds is None else f"of all {cores} cores, while filming",
    )


def of_the_memory(unit: str, shown: Mapping[str, str], root: Path = ROOT) -> Measure:
    """A unit's peak since it was started, as a share of what it may have.

    Raspberry Pi's firmware starts a kernel with `cgroup_disable=memory`, which counts no unit's
    memory: then it is the peak of the unit's main process.
    """
    peak, most = (number(shown, name) for name in ("MemoryPeak", "MemoryMax"))
    whose = "all of it"
    if peak is None:
        peak, whose = _peak_of(number(shown, "MainPID"), root), "its main process"
    share, said = None, "it does not run, or has no limit"
    if peak is not None and most:
        share = peak / most
        said = f"{peak / (1 << 20):.0f} of {most / (1 << 20):.0f} MiB at its peak, {whose}"
    return measured(f"memory of {unit}", share, FULLEST, "", said)


def _peak_of(process: float | None, root: Path) -> float | None:
    """Bytes that a process had resident at most (proc(5), VmHWM); None where it does not run."""
    try:
        said = (root / f"proc/{process or 0:.0f}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB", said, re.MULTILINE)
    return 1024.0 * int(found[1]) if found else None


def of_the_start(
    recorder: Mapping[str, str], target: Mapping[str, str], manager: Mapping[str, str]
) -> Measure:
    """From the kernel's start to the recorder's word that it is ready, by systemd's timestamps
    (microseconds): of `attune-recorder.service`, `multi-user.target` and systemd itself."""
    ready, booted = (number(one, "ActiveEnterTimestampMonotonic") for one in (recorder, target))
    # A container has no kernel of its own: from its systemd's start then.
    kernel = 0.0 if manager.get("KernelTimestamp") else None
    began = kernel if kernel is not None else number(manager, "UserspaceTimestampMonotonic")
    seconds, said = None, "systemd does not say"
    if ready and booted and began is not None:
        if ready <= booted:
            seconds, said = (ready - began) / 1e6, "without what comes before the kernel"
        else:
            said = "the recorder was started again since the kit was"
    return measured("start to ready", seconds, READY_SECONDS, "s", said)


def number(shown: Mapping[str, str], name: str) -> float | None:
    """A number that systemd shows; None where it has none."""
    said = shown.get(name, "")
    return float(said) if said.isdecimal() and int(said) < _UNSET else None
