"""Whether base's own clock can be believed: kits' recorders sign what time it is for them.

A clock that runs a year ahead would end every share at once, and one behind would take a hold for
far from its day. Whoever has one kit can date its notes as they like; so one kit alone stops
nobody where there are others.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

from appliance.errors import ClockInDoubt

BEHIND = timedelta(days=1)
"""Kits that sign for a time so far ahead show that the clock here is behind."""
AHEAD = timedelta(days=45)
"""Where nobody has signed anything for so long, the clock here may be ahead, or kits rest."""


def check(heard: Sequence[datetime], now: datetime) -> None:
    """Hold `now` against when each kit last signed how far its logs had come. A service without
    kits has nothing to hold it against. Raises ClockInDoubt."""
    if not heard:
        return
    if median((at - now).total_seconds() for at in heard) > BEHIND.total_seconds():
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
