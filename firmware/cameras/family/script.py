"""What happens in the scene, and when: told in the terms of Video Interaction Guidance.

The two take turns: somebody begins (an initiative), the other takes it up (a reception) and has
their own turn, which is received in its turn. Between them are pauses, in which the child looks
away and the adult waits. All of it follows from a seed; it goes on for as long as anybody looks.
"""

import enum
import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from firmware.camera import TICKS
from firmware.cameras.family.voices import Syllable, Vowel, Who

_STEPS = 8
"""Drawings of a movement, as an animator draws them: the same each time it is made."""


class Kind(enum.Enum):
    """What a moment is in a chain of turns."""

    INITIATIVE = "initiative"
    RECEPTION = "reception"
    TURN = "turn"
    PAUSE = "pause"


@dataclass(frozen=True)
class Moment:
    """A part of the script. One begins where the one before it ends.

    `start` and `end` are ticks from the start of the film; `speaks` says whether `who` is heard in
    it. The other never is.
    """

    start: int
    end: int
    who: Who
    kind: Kind
    what: str
    """In words, for whoever reads a test."""
    speaks: bool

    def pictures(self, rate: Fraction) -> range:
        """The numbers of the pictures that show it, at so many a second: those whose time is not
        before its start and before its end."""
        first, end = (-(-ticks * rate // TICKS) for ticks in (self.start, self.end))
        return range(int(first), int(end))


Value = tuple[float, ...]


class _Move(NamedTuple):
    start: float
    end: float
    before: Value
    after: Value


class Track:
    """Where something is at each second: it rests, moves gently to somewhere else, and rests."""

    def __init__(self, *value: float, steps: int = _STEPS) -> None:
        """`steps`: in how many steps each movement is made; 0 for as many as there are pictures."""
        self._steps = steps
        self._moves = [_Move(-1.0, 0.0, value, value)]
        self._starts = [-1.0]

    def move(self, start: float, seconds: float, *value: float) -> float:
        """From `start` on, or as soon as it has ended what it does. Returns when it is there."""
        last = self._moves[-1]
        start = max(start, last.end)
        self._moves.append(_Move(start, start + seconds, last.after, value))
        self._starts.append(start)
        return start + seconds

    def at(self, second: float) -> Value:
        start, end, before, after = self._moves[bisect_right(self._starts, second) - 1]
        if second >= end:
            return after
        part = (second - start) / (end - start)
        part = part * part * (3 - 2 * part)
        if self._steps:
            part = round(part * self._steps) / self._steps
        return tuple(a + (b - a) * part for a, b in zip(before, after, strict=True))

    def place(self, second: float) -> tuple[float, float]:
        """Of something that has two values."""
        across, down = self.at(second)
        return across, down


class Said(NamedTuple):
    """A syllable, and the second at which it begins."""

    start: float
    syllable: Syllable


class Actor:
    """What one of the two does, as far as it is known by now."""

    def __init__(self, who: Who, looks: "Looks", near: Value, far: Value) -> None:
        self.who = who
        self._looks = looks
        self._rest = near, far
        self.head = Track(*looks["other"][:3], steps=6)
        self.eyes = Track(*looks["other"][3:], steps=2)
        self.lids = Track(1.0, steps=2)
        self.mood = Track(0.5, 0.0, steps=2)
        """Smile and brows."""
        self.lean = Track(0.0)
        self.near, self.far = Track(*near), Track(*far)

    def look(self, at: float, where: str, seconds: float = 0.45) -> float:
        """Turn to where something is: the eyes first. Returns when the head is there."""
        *head, across, down = self._looks[where]
        self.eyes.move(at, 0.12, across, down)
        return self.head.move(at + 0.08, seconds, *head)

    def feel(self, at: float, smile: float, brows: float = 0.0) -> None:
        self.mood.move(at, 0.3, smile, brows)

    def rest(self, at: float) -> None:
        """Sit as at the beginning."""
        self.lean.move(at, 0.6, 0.0)
        self.near.move(at, 0.6, *self._rest[0])
        self.far.move(at, 0.6, *self._rest[1])

    def blink(self, at: float) -> None:
        self.lids.move(at, 0.06, 0.0)
        self.lids.move(at + 0.10, 0.08, 1.0)


Looks = dict[str, Value]
"""Where each of the two looks: turn, nod and tilt of the head, and the eyes to right and down."""
ADULT_LOOKS: Looks = {
    "other": (32, 12, 4, 0.5, 0.35),
    "ball": (28, 24, 6, 0.4, 0.8),
    "window": (24, -16, -4, 0.2, -0.7),
    "toy": (28, 8, 2, 0.4, 0.5),
}
CHILD_LOOKS: Looks = {
    "other": (-32, -12, -4, -0.5, -0.45),
    "ball": (-28, 16, 0, -0.4, 0.8),
    "window": (-24, -20, -2, -0.3, -0.8),
    "toy": (-20, 12, 0, -0.2, 0.6),
    "down": (-8, 24, 4, 0.0, 0.9),
    "away": (28, 12, 5, 0.6, 0.4),
}


class Stage:
    """The two and what they play with, with all that they have done and said by now."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(f"family {seed}")  # noqa: S311 - a play, no secret
        self.child = Actor(Who.CHILD, CHILD_LOOKS, (838, 596), (826, 590))
        self.adult = Actor(Who.ADULT, ADULT_LOOKS, (474, 560), (520, 562))
        self.ball = Track(744, 636, steps=0)
        self.block = Track(846, 676)
        self.bird = Track(572, 158, steps=0)
        self.moments: list[Moment] = []
        self.said: list[Said] = []
        self.end = 0.0
        """Seconds that are filled."""
        self._syllables = {who: self._repertory(who) for who in Who}

    def actor(self, who: Who) -> Actor:
        return self.child if who is Who.CHILD else self.adult

    def tell(self, who: Who, kind: Kind, what: str, end: float) -> float:
        """Add a moment, from the end of the one before. Returns its end."""
        start, finish = round(self.end * TICKS), round(end * TICKS)
        heard = [said for said in self.said if self.end <= said.start < end]
        assert all(said.syllable.who is who for said in heard)
        self.moments.append(Moment(start, finish, who, kind, what, bool(heard)))
        self.end = finish / TICKS
        return self.end

    def say(self, who: Who, at: float, least: int, most: int) -> float:
        """Some syllables. Returns when the last has ended."""
        for _ in range(self.dice.randint(least, most)):
            syllable = self.dice.choice(self._syllables[who])
            self.said.append(Said(at, syllable))
            at += syllable.seconds + self.dice.choice((0.02, 0.02, 0.04))
        return at

    def _repertory(self, who: Who) -> list[Syllable]:
        """The syllables of a voice: as many as an infant has, and a few more for a grown-up."""
        found = []
        for vowel in Vowel:
            for _ in range(2):
                if who is Who.CHILD:
                    middle = self.dice.uniform(330, 400)
                    bend = self.dice.choice((0.80, 1.22, 1.0))
                    seconds = self.dice.uniform(0.18, 0.32)
                else:
                    middle = self.dice.uniform(190, 235)
                    bend = self.dice.choice((0.72, 1.3, 0.9))
                    seconds = self.dice.uniform(0.16, 0.26)
                found.append(
                    Syllable(who, vowel, round(seconds, 2), middle / bend**0.5, middle * bend**0.5)
                )
        return found

    def heard(self, start: float, end: float) -> Iterator[Said]:
        """What is said between two seconds, at least in part."""
        first = bisect_right(self.said, start - 1.0, key=lambda said: said.start)
        for number in range(first, len(self.said)):
            said = self.said[number]
            if said.start >= end:
                return
            if said.start + said.syllable.seconds > start:
                yield said
