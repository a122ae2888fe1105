"""What time it is, and whether that can be believed.

A kit without a network may wake in the wrong year, so a permit is only believed while the time is
*trusted*: someone unlocked has vouched for it since this boot; or the kit stands at base and its
wall clock was set from the network; or a clock chip has kept on counting since a trusted reading.
From then on the kit reckons by the boot clock, which nobody can set; the wall clock is not asked
again and never changed. Limits of a film run on the monotonic clock alone.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from appliance.records.files import Fact, Timestamp

EARLIEST = datetime(2026, 11, 1, tzinfo=UTC)
"""No kit ran before this software existed, so an earlier time is wrong."""
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""None of those that run today will then. Near the year 9999 a sum of times has no answer."""

LARGEST_STEP = timedelta(days=400)
"""How far one vouch may lift the mark: a false 'ten years on' must not close every consent."""

DISAGREEMENT = timedelta(minutes=2)
"""Beyond this the page says that a machine's clock and the trusted time disagree."""


class Trust(StrEnum):
    TRUSTED = "trusted"
    DOUBTFUL = "doubtful"
    WRONG = "wrong"


class Dated(Protocol):
    """What says by the boot clock when it was written."""

    @property
    def boot(self) -> str: ...

    @property
    def boottime(self) -> float: ...


@dataclass(frozen=True)
class Reading:
    """The clocks of this machine, read together: wall time, which boot, seconds since it."""

    wall: datetime
    boot: str
    boottime: float

    def is_within(self, seconds: float, of: Dated) -> bool:
        """True if `of` was written in this boot, and at most so many seconds ago."""
        return of.boot == self.boot and 0 <= self.boottime - of.boottime <= seconds


class Clock(Protocol):
    def read(self) -> Reading: ...

    def monotonic(self) -> float:
        """Seconds, for limits and delays."""


class SystemClock:
    """The clocks of the machine this runs on (Linux)."""

    def __init__(self) -> None:
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def read(self) -> Reading:
        return Reading(datetime.now(UTC), self._boot, time.clock_gettime(time.CLOCK_BOOTTIME))

    def monotonic(self) -> float:
        return time.monotonic()


class _TimeSaid(Fact, frozen=True, kw_only=True):
    """'It was this time then': an unlocked practitioner's word, valid for one kit and one boot."""

    kit: str
    time: Timestamp
    boot: str
    boottime: float


class Vouch(_TimeSaid, frozen=True, kw_only=True, tag="vouch/v1"):
    """The time, where the kit was not sure of another."""


class Correction(_TimeSaid, frozen=True, kw_only=True, tag="clock-correction/v1"):
    """The kit was wrongly sure of another time: it counts once somebody has pressed the button."""


class Mark(Fact, frozen=True, kw_only=True, tag="clock-mark/v1"):
    """The latest time this kit has been sure of: only a `Correction` goes back behind it."""

    highest: Timestamp


class Kept(Fact, frozen=True, kw_only=True, tag="clock-kept/v1"):
    """What the clock chip counted when the time was last certain, and that time."""

    chip: int
    """Seconds, as the chip counts them; they need not be right, only go on."""
    time: Timestamp


@dataclass(frozen=True)
class Sources:
    """What this machine has besides its boot clock."""

    from_network: bool = False
    """At base, and the wall clock was set from the network since this boot."""
    chip: int | None = None
    """Seconds that a clock chip with a battery has counted; None where there is no chip."""


_SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
_CHIP = Path("/sys/class/rtc/rtc0/since_epoch")


def read_sources(at_base: bool, synchronised: Path = _SYNCHRONISED, chip: Path = _CHIP) -> Sources:
    """Ask the machine. systemd-timesyncd makes its file anew at each boot, in memory."""
    try:
        counted: int | None = int(chip.read_text())
    except (OSError, ValueError):
        # No chip, or one that says itself that its battery has failed.
        counted = None
    return Sources(from_network=at_base and synchronised.exists(), chip=counted)


@dataclass(frozen=True)
class Judgement:
    """How far the time is believed, and the time itself where it is trusted."""

    trust: Trust
    now: datetime | None = None


def judge(
    reading: Reading,
    vouch: Vouch | None,
    mark: Mark | None,
    sources: Sources = Sources(),
    kept: Kept | None = None,
) -> Judgement:
    """Say whether the time can be believed. Anything in doubt is not trusted.

    A person's word comes first; it is the only one that can be false on purpose, and it is signed.
    """
    floor = max(EARLIEST, mark.highest) if mark else EARLIEST
    if vouch is not None and vouch.boot == reading.boot and vouch.boottime <= reading.boottime:
        # In UTC: a sum in a time zone would leave out the hour of summer time.
        try:
            now = vouch.time.astimezone(UTC) + timedelta(seconds=reading.boottime - vouch.boottime)
        except OverflowError:
            return Judgement(Trust.WRONG)
        return _held_against(now, floor, mark)
    told = by_machine(reading, sources, kept)
    if told is not None and _held_against(told, floor, mark).trust is Trust.TRUSTED:
        return Judgement(Trust.TRUSTED, told)
    return Judgement(Trust.WRONG if reading.wall < floor else Trust.DOUBTFUL)


def by_machine(reading: Reading, sources: Sources, kept: Kept | None) -> datetime | None:
    """The time as the network at base or the clock chip has it; None where neither does."""
    if sources.from_network:
        return reading.wall
    if kept is not None and sources.chip is not None and sources.chip >= kept.chip:
        # A chip that lost its battery begins again, far below.
        with suppress(OverflowError):
            return kept.time + timedelta(seconds=sources.chip - kept.chip)
    return None


def disagrees(judgement: Judgement, told: datetime | None) -> bool:
    """True if a machine's clock is so far from the trusted time that somebody should look."""
    if judgement.now is None or told is None:
        return False
    return abs(judgement.now - told) > DISAGREEMENT


def _held_against(now: datetime, floor: datetime, mark: Mark | None) -> Judgement:
    if not floor <= now < LATEST or (mark is not None and now > mark.highest + LARGEST_STEP):
        return Judgement(Trust.WRONG)
    return Judgement(Trust.TRUSTED, now)


def raised(mark: Mark | None, judgement: Judgement) -> Mark | None:
    """The mark after this judgement: higher if trusted time has passed it, otherwise as it was."""
    if judgement.now is None or (mark is not None and judgement.now <= mark.highest):
        return mark
    return Mark(highest=judgement.now)
