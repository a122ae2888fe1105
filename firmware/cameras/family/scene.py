"""An adult and a child who play, as a scene that can stand before the camera."""

import random
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from fractions import Fraction

from firmware.camera import SAMPLE_RATE, TICKS
from firmware.cameras.family.brush import Canvas, Easel, Frame, Sprite
from firmware.cameras.family.cast import Cast
from firmware.cameras.family.figures import Part
from firmware.cameras.family.plays import played
from firmware.cameras.family.script import Moment, Stage
from firmware.cameras.scene import Take

_KEPT = 1000
"""Sprites that are kept, about 25 MB at 720p: all that a family needs after a minute or two."""
_AHEAD = 2.0
"""Seconds of the script beyond what is shown: what has begun by then is known."""


class FamilyScene:
    """A scene (see `firmware.cameras.scene.Scene`) that never ends, the same for the same seed.

    The seed sets what the two look like, what they play in which order, and what they say.
    """

    name = "family"
    has_sound = True

    def __init__(self, width: int, height: int, frame_rate: int, seed: int = 1) -> None:
        self.width, self.height = width, height
        self.rate = Fraction(frame_rate)
        self._seed = seed
        self._cast = Cast(seed)
        self._frame = Frame(width, height)
        self._room = Canvas(self._frame)
        Sprite(self._frame, self._cast.room(), everywhere=True).put(self._room)
        self._sprites: OrderedDict[tuple[object, ...], Sprite] = OrderedDict()
        # So that a press does not wait until the two are painted.
        next(self.takes())

    def moments(self) -> Iterator[Moment]:
        """The script: who does what when, one moment after another and without end."""
        stage = Stage(self._seed)
        for _ in played(stage):
            yield from stage.moments
            stage.moments.clear()

    def takes(self) -> Iterator[Take]:
        stage = Stage(self._seed)
        plays, easel = played(stage), Easel(self._room)
        number = 0
        while True:
            time, end = (round(n * TICKS / self.rate) for n in (number, number + 1))
            while stage.end < end / TICKS + _AHEAD:
                next(plays)
            parts = self._cast.parts(stage, time / TICKS)
            picture = easel.picture([(self._sprite(part), part.x, part.y) for part in parts])
            yield Take(picture, time, end - time, _sound(stage, time, end))
            number += 1

    def _sprite(self, part: Part) -> Sprite:
        sprite = self._sprites.pop(part.form, None) or Sprite(self._frame, part.fills())
        self._sprites[part.form] = sprite
        if len(self._sprites) > _KEPT:
            self._sprites.popitem(last=False)
        return sprite


def _hush() -> bytes:
    """Half a second of a room in which nobody speaks: not quite nothing."""
    dice = random.Random("hush")  # noqa: S311 - a sound
    return array("h", (dice.randint(-5, 5) for _ in range(SAMPLE_RATE // 2))).tobytes()


_HUSH = _hush()
_ROUNDS = _HUSH + _HUSH


def _sound(stage: Stage, start: int, end: int) -> bytes:
    """What is heard from one tick to another."""
    first, last = (ticks * SAMPLE_RATE // TICKS for ticks in (start, end))
    begin = 2 * first % len(_HUSH)
    heard = bytearray(_ROUNDS[begin : begin + 2 * (last - first)])
    for at, syllable in stage.heard(start / TICKS, end / TICKS):
        samples, place = syllable.samples(), round(at * SAMPLE_RATE)
        begin, until = max(place, first), min(place + len(samples) // 2, last)
        if begin < until:
            heard[2 * (begin - first) : 2 * (until - first)] = samples[
                2 * (begin - place) : 2 * (until - place)
            ]
    return bytes(heard)
