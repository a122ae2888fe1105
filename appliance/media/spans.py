"""What lies between two moments of a film, out of its packets as they come.

Picture and sound lie side by side in a file, and either may be missing for a while. Nothing is read
that is not needed: it ends when what comes is behind the second moment for both of them.
"""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from av.packet import Packet

Packets: TypeAlias = "list[Packet[Any]]"
Progress: TypeAlias = "Callable[[float], None]"

BEFORE_SOUND, KEPT_SOUND = Fraction(1, 10), Fraction(1, 2)
"""Seconds. A decoder of sound needs what came before, or its first block is wrong; so much of it is
looked for at least, and kept at most."""
TOLD = Fraction(1, 1000)
"""Seconds. Marks are told in thousandths, rounded down: a picture that appears less than one later
is the one that was meant."""
JUMP = 1
"""Seconds that times go back by before another recording is taken to begin: a browser that is
stopped and started again writes one behind the other."""
_APART = 10
"""Seconds by which picture and sound may lie apart in a file before one is taken to have ended."""


@dataclass(frozen=True)
class Span:
    """What a film has between two moments, and what its decoders need from before."""

    picture: Packets
    sound: Packets
    turn: bytes | None
    """How a player is to turn the picture (`footage.turn_of`)."""
    start: Fraction
    """Seconds of the file, as is `end`: the mark, or the picture that it was read from."""
    end: Fraction
    """Before the mark only where the file breaks off."""


@dataclass(frozen=True)
class Clock:
    """How the packets of a film tell the time."""

    picture: int
    """The index of its track."""
    base: Fraction
    """Seconds in a tick of the picture."""
    heard: Fraction | None
    """Seconds in a tick of the sound; None if there is none."""
    step: int
    """Ticks that a picture lasts of which nothing says it."""


class Reached:
    """How far packets go."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: int | None = None
        self._heard: int | None = None
        self._decoded: int | None = None
        self.begins_again = False
        """Whether the times of the picture went back: another recording follows."""

    def take(self, packet: Packet[Any]) -> None:
        if packet.pts is None:
            return
        lasts = packet.duration or 0
        if packet.stream_index == self._clock.picture:
            order = packet.pts if packet.dts is None else packet.dts
            if self._decoded is not None and order < self._decoded - JUMP / self._clock.base:
                self.begins_again = True
            self._decoded = order
            gone = packet.pts + (lasts or self._clock.step)
            self._seen = gone if self._seen is None else max(self._seen, gone)
        else:
            gone = packet.pts + lasts
            self._heard = gone if self._heard is None else max(self._heard, gone)

    @property
    def sees(self) -> bool:
        """Whether there was a picture."""
        return self._seen is not None

    @property
    def picture(self) -> Fraction:
        """Second of the file at which the last picture is over; 0 if there was none."""
        return (self._seen or 0) * self._clock.base

    @property
    def sound(self) -> Fraction:
        """Second of the file at which the sound is over; 0 if there was none."""
        return (self._heard or 0) * (self._clock.heard or Fraction(0))


class Found:
    """What is kept of the packets of a span, while they are read."""

    def __init__(self, clock: Clock, start: Fraction, stop: Fraction, *, sound: bool) -> None:
        """Seconds of the file; `sound`: it is wanted too."""
        self._clock, self._wants = clock, sound
        self.picture: Packets = []
        self.sound: Packets = []
        self.reached = Reached(clock)
        self._begin, self._stop, self._apart = (
            int(at / clock.base) for at in (start, stop, stop + _APART)
        )
        self._behind = self._apart
        """When the first picture behind the span appears."""
        self._kept, self._silent, self._far = (
            int(at / (clock.heard or 1))
            for at in (start - KEPT_SOUND, stop + BEFORE_SOUND, stop + _APART)
        )
        self._sees, self._hears = True, sound and clock.heard is not None

    def take(self, packets: Iterable[Packet[Any]], progress: Progress) -> bool:
        """Keep what belongs to the span; whether the film came to its end."""
        for packet in packets:
            self.reached.take(packet)
            if packet.stream_index == self._clock.picture:
                self._take_picture(packet, progress)
            else:
                self._take_sound(packet)
            if not (self._sees or self._hears):
                return False
        return True

    def is_heard_from(self, start: Fraction) -> bool:
        """Whether there is sound from `start` on, or from before."""
        times = [packet.pts for packet in self.sound if packet.pts is not None]
        return bool(times) and min(times) * (self._clock.heard or 0) <= start

    def meant(self, mark: Fraction) -> Fraction:
        """A mark, or the picture less than a thousandth of a second behind it."""
        base = self._clock.base
        first, last = math.ceil(mark / base), (mark + TOLD) / base
        ticks = (packet.pts for packet in self.picture if packet.pts is not None)
        return min((tick for tick in ticks if first <= tick < last), default=mark / base) * base

    def _take_picture(self, packet: Packet[Any], progress: Progress) -> None:
        if self._sees:
            self.picture.append(packet)
        shown = packet.pts
        if shown is not None:
            if shown >= self._stop:
                self._behind = min(self._behind, shown)
                self._hears = self._hears and shown < self._apart
            elif shown > self._begin:
                progress((shown - self._begin) / (self._stop - self._begin))
        if packet.dts is None:
            # It is not said when it is decoded: then all is read for a while.
            self._sees = self._sees and (shown is None or shown < self._apart)
        else:
            # What is decoded later is shown later still.
            self._sees = self._sees and packet.dts < self._behind

    def _take_sound(self, packet: Packet[Any]) -> None:
        heard = packet.pts
        if self._wants and (heard is None or heard >= self._kept):
            self.sound.append(packet)
        if heard is not None:
            self._hears = self._hears and heard < self._silent
            # Where the picture stands for long, or is over, no next one comes.
            self._sees = self._sees and (heard < self._far or not self.picture)
