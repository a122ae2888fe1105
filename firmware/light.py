"""The light: a player of its patterns that knows whether the lamp follows.

While the camera may run, no pattern stays dark for more than `LONGEST_DARK`.
"""

import threading
from collections.abc import Callable
from itertools import accumulate

from appliance.errors import LightFailed
from appliance.protocol.status import PATTERNS, Pattern
from appliance.records.clock import Clock
from firmware.pins.lamp import Lamp

LONGEST_DARK = 0.15
"""Seconds: longer gaps could be taken for 'off' while the camera sees."""

_LOOK_AGAIN = 0.2
"""Seconds between two looks at a lamp that stands still."""

CAPTURING = frozenset({Pattern.PREVIEW, Pattern.FILMING, Pattern.LAST_MINUTE})
"""The patterns under which the camera may be open."""


def at(pattern: Pattern, elapsed: float) -> tuple[bool, float]:
    """Whether the lamp is lit `elapsed` seconds into a pattern, and for how long from then on."""
    steps = PATTERNS[pattern]
    if len(steps) == 1:
        return steps[0][0], float("inf")
    ends = list(accumulate(seconds for _, seconds in steps))
    into = elapsed % ends[-1]
    place = next((n for n, end in enumerate(ends) if into < end), len(steps) - 1)
    return steps[place][0], max(ends[place] - into, 0.0)


class Light:
    """Plays one pattern at a time on a lamp, in a thread of its own.

    `show` may be called from any thread and returns when the pattern's first edge stands. If the
    lamp fails later, `on_failure` is called once, in the player's thread.
    """

    def __init__(self, lamp: Lamp, clock: Clock, on_failure: Callable[[], None]) -> None:
        self.lamp = lamp
        self._clock = clock
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._began = clock.monotonic()
        self._ended = False
        self.pattern = Pattern.OFF
        self.lit = False
        self.broken = False
        """True from a failure until a pattern could be shown again."""

    def show(self, pattern: Pattern) -> None:
        """Begin a pattern. Raises LightFailed if the lamp does not follow."""
        with self._changed:
            proving = pattern in CAPTURING and self.pattern not in CAPTURING
            self.pattern = pattern
            self._began = self._clock.monotonic()
            self.broken = True
            if proving:
                # A lamp that is stuck alight proves nothing by being lit.
                self._set(False)
            self._set(at(pattern, 0.0)[0])
            self.broken = False
            self._changed.notify()

    def step(self) -> float:
        """Do what is due now; returns the seconds until something may be due again."""
        with self._changed:
            if self.broken:
                return _LOOK_AGAIN
            lit, left = at(self.pattern, self._clock.monotonic() - self._began)
            try:
                if lit is not self.lit:
                    self._set(lit)
                else:
                    self.lamp.check()
            except LightFailed:
                self.broken = True
                self._on_failure()
                return _LOOK_AGAIN
            return min(left, _LOOK_AGAIN)

    def play(self) -> None:
        """Play until `close`; for a thread of its own."""
        with self._changed:
            while not self._ended:
                self._changed.wait(self.step())

    def close(self) -> None:
        """Lamp off, thread at its end."""
        with self._changed:
            self._ended = True
            self._changed.notify()
            self.lamp.close()

    def _set(self, lit: bool) -> None:
        self.lamp.set(lit)
        self.lit = lit
