"""What time it is, and whether that can be believed.

A kit without a network may wake in the wrong year, so a permit is only believed while the time is
*trusted*: someone unlocked has vouched for it since this boot. From the vouch on the kit reckons
by the boot clock, which nobody can set; the wall clock is never asked again and never changed.
Limits of a film do not use any of this: they run on the monotonic clock alone.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Protocol

from appliance.files import Fact, Moment

EARLIEST = datetime(2026, 11, 1, tzinfo=UTC)
"""No kit ran before this software existed, so an earlier time is wrong."""

LARGEST_STEP = timedelta(days=400)
"""How far one vouch may lift the mark: a false 'ten years on' must not close every consent."""

DISAGREEMENT = timedelta(minutes=2)
"""Beyond this the page says that the wall clock and the vouched time disagree."""


class Trust(Enum):
    TRUSTED = "trusted"
    DOUBTFUL = "doubtful"
    WRONG = "wrong"


@dataclass(frozen=True)
class Reading:
    """The clocks of this machine at one moment: wall time, which boot, seconds since it."""

    wall: datetime
    boot: str
    boottime: float


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


class Vouch(Fact, frozen=True, kw_only=True, tag="vouch/v1"):
    """'It was this time then': an unlocked practitioner's word, valid for one kit and one boot."""

    kit: str
    time: Moment
    boot: str
    boottime: float


class Mark(Fact, frozen=True, kw_only=True, tag="clock-mark/v1"):
    """The latest time this kit has been sure of. Time does not run backwards past it."""

    highest: Moment


@dataclass(frozen=True)
class Judgement:
    """How far the time is believed, and the time itself where it is trusted."""

    trust: Trust
    now: datetime | None = None


def judge(reading: Reading, vouch: Vouch | None, mark: Mark | None) -> Judgement:
    """Say whether the time can be believed. Anything in doubt is not trusted."""
    floor = max(EARLIEST, mark.highest) if mark else EARLIEST
    if vouch is None or vouch.boot != reading.boot or vouch.boottime > reading.boottime:
        return Judgement(Trust.WRONG if reading.wall < floor else Trust.DOUBTFUL)
    now = vouch.time + timedelta(seconds=reading.boottime - vouch.boottime)
    if now < floor or (mark is not None and now > mark.highest + LARGEST_STEP):
        return Judgement(Trust.WRONG)
    return Judgement(Trust.TRUSTED, now)


def raised(mark: Mark | None, judgement: Judgement) -> Mark | None:
    """The mark after this judgement: higher if trusted time has passed it, otherwise as it was."""
    if judgement.now is None or (mark is not None and judgement.now <= mark.highest):
        return mark
    return Mark(highest=judgement.now)
