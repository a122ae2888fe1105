"""Moments chosen from a case's films: clips and stills, what is said of each, and their order.

Each is a sealed document of the case and a sealed file beside it; the words of one are written
again as its next number, and what was cut never changes. The choice is a document too: a moment
that is taken out of it stays in the case and can be put back.

    cases/<id>/clips/<clip>.mp4.age     what is seen and heard between its marks
    cases/<id>/clips/<still>.jpg.age    the picture at one moment
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from appliance.errors import NoMatch
from appliance.records.files import Fact, Timestamp, checked_id
from appliance.vault.cases import OpenCase

Turn = Literal["", "initiative", "reception", "response"]
"""Whose turn it is in the chain: the child's initiative, how it is received, the answer to it."""


class Words(Fact, frozen=True, kw_only=True, tag="words/v1"):
    """What the practitioner says of a moment; none of it has to be said."""

    note: str = ""
    question: str = ""
    """What to ask the family when it is looked at."""
    goal: str = ""
    """The id of one of the case's goals."""
    principle: str = ""
    """In words, so that it stays what it was when the list of principles changes."""
    turn: Turn = ""


class Clip(Fact, frozen=True, kw_only=True, tag="clip/v1"):
    """A moment that went well: [start, end) of one film, in ticks of the film's time scale."""

    id: str
    recording: str
    start: int
    end: int
    scale: int
    """Ticks a second."""
    frames: int
    size: int
    sha256: str
    """Of the sealed file `clips/<id>.mp4.age`."""
    made: Timestamp
    words: Words = Words()
    of_review: bool = False
    """Of a film of a shared review: for the practitioner to learn from, never shown to the family
    among the moments of the next one."""

    @property
    def begins(self) -> Fraction:
        """Seconds from the start of the film."""
        return Fraction(self.start, self.scale)

    @property
    def seconds(self) -> Fraction:
        """How long it lasts."""
        return Fraction(self.end - self.start, self.scale)

    @property
    def file(self) -> str:
        return f"{self.id}.mp4.age"


class Still(Fact, frozen=True, kw_only=True, tag="still/v1"):
    """A picture that was kept: the frame that appeared at `at` ticks of its film."""

    id: str
    recording: str
    at: int
    scale: int
    """Ticks a second."""
    size: int
    sha256: str
    """Of the sealed file `clips/<id>.jpg.age`."""
    made: Timestamp
    words: Words = Words()
    of_review: bool = False
    """Of a film of a shared review: for the practitioner to learn from, never shown to the family
    among the moments of the next one."""

    @property
    def begins(self) -> Fraction:
        """Seconds from the start of the film."""
        return Fraction(self.at, self.scale)

    @property
    def file(self) -> str:
        return f"{self.id}.jpg.age"


Kept: TypeAlias = "Clip | Still"

_MOST_MARKS = 100


class Choice(Fact, frozen=True, kw_only=True, tag="choice/v1"):
    """Which moments the next review looks at, by their ids, in order. One that is still being made,
    or could not be, has its place here and no document yet."""

    kept: tuple[str, ...] = ()

    def joined(self, other: "Choice") -> "Choice":
        """All that was chosen in either of two homes (`vault.cases.Joins`), this one's first."""
        return Choice(kept=tuple(dict.fromkeys((*self.kept, *other.kept))))


class Marks(Fact, frozen=True, kw_only=True, tag="marks/v1"):
    """Places in a film at which somebody said 'that was it' while it was made."""

    recording: str
    at: tuple[float, ...]
    """Seconds from the start of the film, in the order in which they were said."""


class Principles(Fact, frozen=True, kw_only=True, tag="principles/v1"):
    """The attunement principles that a practitioner chooses from, as they word them."""

    principles: tuple[str, ...]


@dataclass(frozen=True)
class Shelf:
    """The moments of a case: what is chosen, in order; what is set aside, and what is of films of
    reviews, the newest first."""

    chosen: Sequence[Kept]
    aside: Sequence[Kept]
    of_reviews: Sequence[Kept] = ()

    @property
    def every(self) -> Sequence[Kept]:
        return (*self.chosen, *self.aside, *self.of_reviews)

    def for_family(self) -> "Shelf":
        """What the family may see."""
        return Shelf(self.chosen, self.aside)

    def of_review(self, recording: str) -> "Shelf":
        """What was kept of one film of a review."""
        return Shelf((), (), [kept for kept in self.of_reviews if kept.recording == recording])


def shelf(case: OpenCase) -> Shelf:
    """The moments of a case as they stand."""
    found: list[Kept] = [*case.read_all(Clip), *case.read_all(Still)]
    # The file is there before its document; where it is gone, the family took the film back.
    every = {kept.id: kept for kept in found if sealed_file(case, kept).exists()}
    order = (case.read(Choice) or Choice()).kept
    chosen = [every.pop(name) for name in order if name in every and not every[name].of_review]
    left = sorted(every.values(), key=lambda one: one.made, reverse=True)
    return Shelf(
        chosen,
        [kept for kept in left if not kept.of_review],
        [kept for kept in left if kept.of_review],
    )


def moment(case: OpenCase, name: str) -> Kept:
    """The clip or still of this name. Raises NoMatch if there is none."""
    found = case.read(Clip, name) or case.read(Still, name)
    if found is None:
        raise NoMatch("This family has no such clip.")
    return found


def sealed_file(case: OpenCase, kept: Kept) -> Path:
    """Where the moment itself lies."""
    return case.clips / kept.file


def say(case: OpenCase, name: str, words: Words) -> None:
    """Write these words for a moment, in place of those before. Raises NoMatch."""
    with case.changing:
        case.write(msgspec.structs.replace(moment(case, name), words=words), name)


def choose(case: OpenCase, name: str, instead: str = "") -> None:
    """Add a moment to the end of the choice, or put it in the place of another one."""
    with case.changing:
        order = [one for one in _order(case) if one != name]
        if instead in order:
            order[order.index(instead)] = name
        else:
            order.append(name)
        _write(case, order)


def take_out(case: OpenCase, name: str) -> None:
    """Set a moment aside. It stays in the case: `choose` brings it back."""
    with case.changing:
        _write(case, [one for one in _order(case) if one != name])


def move(case: OpenCase, name: str, by: Literal[-1, 1]) -> None:
    """Move a moment before the one in front of it, or behind the next; not past either end."""
    with case.changing:
        # Of those that are there: one that could not be made must not swallow a step.
        there = [kept.id for kept in shelf(case).chosen]
        if name not in there or not 0 <= there.index(name) + by < len(there):
            return
        neighbour = there[there.index(name) + by]
        order = [one for one in _order(case) if one != name]
        order.insert(order.index(neighbour) + (by > 0), name)
        _write(case, order)


def begin_anew(case: OpenCase) -> None:
    """Set every moment aside: a review was held, and the next one is chosen afresh."""
    with case.changing:
        _write(case, [])


def mark_while_filming(case: OpenCase, recording: str, at: float) -> None:
    """Remember a place in a film that is being made. What is cut from it is decided later."""
    with case.changing:
        known = marks_of(case, recording)
        case.write(Marks(recording=recording, at=(*known, round(at, 2))[-_MOST_MARKS:]), recording)


def marks_of(case: OpenCase, recording: str) -> tuple[float, ...]:
    """The places in a film that were marked while it was made."""
    found = case.read(Marks, recording)
    return found.at if found else ()


def _order(case: OpenCase) -> tuple[str, ...]:
    return (case.read(Choice) or Choice()).kept


def _write(case: OpenCase, order: Sequence[str]) -> None:
    case.write(Choice(kept=tuple(checked_id(name) for name in order)))
