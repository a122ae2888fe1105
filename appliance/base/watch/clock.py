"""Whether base's own clock can be believed: kits' recorders sign what time it is for them.

A clock that runs a year ahead would end every share at once, and one behind would take a hold for
far from its day. Whoever has one kit can date its notes as they like; so one kit alone stops
nobody where there are others.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median_low

from appliance.errors import BadFile, ClockInDoubt
from appliance.records.files import Fact, Timestamp, load_fact, save_fact

BEHIND = timedelta(days=1)
"""Kits that sign for a time so far ahead show that the clock here is behind."""
AHEAD = timedelta(days=45)
"""Where nobody has signed anything for so long, the clock here may be ahead, or kits rest."""
_SEEN = "clock-seen"


class ClockSeen(Fact, frozen=True, kw_only=True, tag="clock-seen/v1"):
    """That somebody has looked at this computer's clock, and it was right."""

    at: Timestamp
    """What it showed."""


def confirm(folder: Path, now: datetime) -> None:
    """Write down, beside the keys, that the clock is right. Raises NotPossible or OSError."""
    save_fact(folder / _SEEN, ClockSeen(at=now))


def confirmed(folder: Path) -> datetime | None:
    """When somebody last said so, if anybody did."""
    with suppress(BadFile):
        seen = load_fact(folder / _SEEN, ClockSeen)
        return seen.at if seen else None
    return None


def check(heard: Sequence[datetime], now: datetime, seen: datetime | None = None) -> None:
    """Hold `now` against when each kit last signed how far its logs had come. A service without
    kits has nothing to hold it against, and whoever looked at the clock, at `seen`, is believed for
    as long as a kit is. Raises ClockInDoubt."""
    if not heard or (seen is not None and timedelta(0) <= now - seen <= AHEAD):
        return
    if median_low((at - now).total_seconds() for at in heard) > BEHIND.total_seconds():
        raise _in_doubt(now, max(heard), "behind")
    past = [at for at in heard if at - now <= BEHIND]
    if past and now - max(past) > AHEAD:
        raise _in_doubt(now, max(past), "ahead")


def _in_doubt(now: datetime, newest: datetime, which: str) -> ClockInDoubt:
    return ClockInDoubt(
        "This computer's clock says %(now)s, and the newest word of a kit is from %(newest)s: the "
        "clock may be %(which)s. Nothing was done.",
        "Set the clock. If it is right, as after a long rest: attune base STORE -i KEYS "
        "--clock-is-right VERB, once.",
        now=f"{now:%d %B %Y %H:%M} UTC",
        newest=f"{newest:%d %B %Y %H:%M} UTC",
        which=which,
    )
