"""Voices that babble: no words, but the vowels, the melody and the pauses of talk.

Each beat of the voice sets off the resonances of a mouth, which die away (formant wave functions:
X. Rodet, Computer Music Journal 8 (3), 1984). A syllable is made once and kept.
"""

import enum
import functools
import math
import struct
from array import array
from dataclasses import dataclass

from firmware.camera import SAMPLE_RATE


class Who(enum.Enum):
    """The two."""

    CHILD = "child"
    ADULT = "adult"


class Vowel(enum.Enum):
    """Resonances of a grown-up's mouth in Hz (the first three), how far open and how round it is.

    The resonances are those of G. E. Peterson and H. L. Barney, JASA 24 (2), 1952, for women.
    """

    A = ((850, 1220, 2810), 1.0, 0.0)
    E = ((610, 2330, 2990), 0.6, 0.0)
    I = ((310, 2790, 3310), 0.4, 0.0)  # noqa: E741 - it is called so
    O = ((590, 920, 2710), 0.7, 1.0)  # noqa: E741
    U = ((370, 950, 2670), 0.5, 1.0)


@dataclass(frozen=True)
class Syllable:
    """A syllable that is the same whenever it is heard."""

    who: Who
    vowel: Vowel
    seconds: float
    start: float
    end: float
    """Beats a second of the voice, at the start and at the end."""

    def samples(self) -> bytes:
        """48 kHz, mono, signed 16 bit."""
        return _made(self)

    def opened(self, second: float) -> float:
        """How far the mouth is open then, to 1."""
        if not 0 <= second < self.seconds:
            return 0.0
        _, wide, _ = self.vowel.value
        return float(wide * math.sin(math.pi * second / self.seconds) ** 0.6)

    @property
    def round(self) -> float:
        return float(self.vowel.value[2])


_SMALLER = {Who.ADULT: 1.0, Who.CHILD: 1.28}
"""By how much resonances are higher in a mouth that is smaller."""
_LOUD = {Who.ADULT: 11_000, Who.CHILD: 13_000}
"""The highest sample of a syllable, of 32767."""
_WARMTH = {Who.ADULT: 210, Who.CHILD: 360}
"""Hz about which the beats of the voice itself are heard, below the resonances."""
_WIDTHS, _STRENGTHS = (110, 90, 120, 190), (0.8, 1.0, 0.45, 0.18)
"""Of warmth and resonances: Hz, and how loud they are."""
_GRAIN = 0.016
"""Seconds after which a beat has died away."""
_ONSET, _FADE = 0.035, 0.08
"""Seconds in which a syllable begins and ends."""
_TREMBLE = 0.012, 5.5
"""By how much a voice wavers, and how often a second."""


@functools.cache
def _grain(who: Who, vowel: Vowel) -> list[float]:
    """What one beat of the voice sounds like."""
    resonances, _, _ = vowel.value
    length = round(_GRAIN * SAMPLE_RATE)
    rise = round(0.0012 * SAMPLE_RATE)
    grain = [0.0] * length
    heard = _WARMTH[who], *(_SMALLER[who] * hertz for hertz in resonances)
    for hertz, width, strength in zip(heard, _WIDTHS, _STRENGTHS, strict=True):
        turn = 2 * math.pi * hertz / SAMPLE_RATE
        fade = math.exp(-math.pi * width / SAMPLE_RATE)
        loud = strength
        for n in range(length):
            soft = 0.5 - 0.5 * math.cos(math.pi * n / rise) if n < rise else 1.0
            grain[n] += loud * soft * math.sin(turn * n)
            loud *= fade
    # It ends in silence.
    last = length // 4
    for n in range(last):
        grain[-1 - n] *= n / last
    return grain


@functools.lru_cache(128)
def _made(syllable: Syllable) -> bytes:
    length = round(syllable.seconds * SAMPLE_RATE)
    grain = _grain(syllable.who, syllable.vowel)
    sound = array("d", bytes(8 * (length + len(grain))))
    at = 0.0
    while at < length:
        part = at / length
        second = at / SAMPLE_RATE
        loud = min(second / _ONSET, (syllable.seconds - second) / _FADE, 1.0)
        place = round(at)
        for n, value in enumerate(grain, place):
            sound[n] += loud * value
        # A melody bends; it does not run along a line.
        bent = part * part * (3 - 2 * part)
        beats = syllable.start + (syllable.end - syllable.start) * bent
        depth, often = _TREMBLE
        at += SAMPLE_RATE / (beats * (1 + depth * math.sin(2 * math.pi * often * second)))
    fade = round(0.02 * SAMPLE_RATE)
    for n in range(fade):
        sound[length - 1 - n] *= n / fade
    scale = _LOUD[syllable.who] / max(max(sound), -min(sound))
    return struct.pack(f"<{length}h", *(round(value * scale) for value in sound[:length]))
