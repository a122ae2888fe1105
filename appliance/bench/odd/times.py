"""Films whose picture and sound begin, stand and end when they like."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from appliance.bench.odd.drawn import beep, late_beep, silence
from appliance.bench.odd.expected import Expected, OddFilm
from appliance.bench.odd.muxed import (
    LIVE,
    REORDERED,
    TICKS,
    VP8,
    Heard,
    Pictures,
    made,
    steps,
    without_first,
)
from appliance.media.wire import FilmNote

_STEP = 1 / 30


def expected(
    pictures: Sequence[float], heard: tuple[float, float] | None, lasts: float = _STEP
) -> Expected:
    """Of a film whose pictures appear at these times of the file and that sounds from one of them
    to another: everything from the first to the last of both."""
    begin = min(pictures[0], heard[0]) if heard else pictures[0]
    end = max(pictures[-1] + lasts, heard[1] if heard else 0.0)
    # What is heard before the first picture is heard under it.
    seen = [(0, 0.0), *((n, at - begin) for n, at in enumerate(pictures) if n)]
    return Expected(seen, heard and beeps(*heard, begin), end - begin)


def beeps(begin: float, end: float, zero: float = 0.0, each: float = 1.0) -> list[float]:
    """When each beep begins that is heard between two times of a file, from its second `zero`."""
    count = range(math.ceil(begin / each), math.ceil(end / each))
    return [number * each - zero for number in count]


def _odd(
    pictures: Sequence[float],
    heard: tuple[float, float] | None,
    container: str = "mp4",
    lasts: float = _STEP,
    options: Mapping[str, str] | None = None,
) -> OddFilm:
    def make() -> bytes:
        sounds = [Heard(*heard)] if heard else []
        shown = Pictures(pictures, lasts=lasts)
        return made(shown, *sounds, container=container, options=options)

    return OddFilm(make, expected(pictures, heard, lasts))


@functools.cache
def base(seconds: int) -> bytes:
    """A whole film with pictures that are decoded out of their order."""
    return made(Pictures(steps(0, seconds), "libx264", REORDERED), Heard(0, seconds))


def plain(seconds: int) -> Expected:
    """What becomes of `base`."""
    return expected(steps(0, seconds), (0, seconds))


def uneven(number: int) -> float:
    """When the pictures of a call appear: each up to half a step late."""
    return (number * 3000 + (number * 7919) % 1500) / TICKS


@functools.cache
def part() -> bytes:
    """What a browser writes from its start to its stop."""
    return made(steps(0, 6), Heard(0, 6, late_beep), container="webm", options=LIVE)


def _parts(count: int) -> Expected:
    seen = [(n, at + 6 * number) for number in range(count) for n, at in plain(6).pictures]
    heard = [at + 0.5 for at in beeps(0, 6 * count)]
    return Expected(seen, heard, 6 * count, notes=(FilmNote.SEVERAL,) * (count - 1))


def _call(sample_rate: int | None = None) -> OddFilm:
    times = [uneven(number) for number in range(180)]
    shown = Pictures(times, "libx264", {"bf": "0", "g": "250", "sc_threshold": "0"})
    sound = Heard(0, 6, rate=sample_rate) if sample_rate else Heard(0, 6)
    return OddFilm(lambda: made(shown, sound), expected(times, (0, 6)))


def _joined_late(codec: str, encoder: Mapping[str, str]) -> OddFilm:
    def make() -> bytes:
        shown = Pictures(steps(0, 8), codec, {**encoder, "g": "90"})
        return without_first(made(shown, Heard(0, 8), container="matroska"), 20)

    times = [0.0, *steps(0, 8)[91:]]
    seen = [(90 + number, at) for number, at in enumerate(times)]
    return OddFilm(make, Expected(seen, beeps(0, 8), 8))


def _with_gaps() -> OddFilm:
    sound = Heard(0, 8, gap=(2.3, 4.6))
    wanted = plain(8)
    heard = [at for at in beeps(0, 8) if not 2.3 <= at < 4.6]
    return OddFilm(
        lambda: made(steps(0, 8), sound, container="mov"),
        Expected(wanted.pictures, heard, wanted.length),
    )


def _two_sides(first: Callable[[int], float], other: Callable[[int], float]) -> OddFilm:
    def make() -> bytes:
        sounds = Heard(0, 6, first), Heard(0, 6, other)
        return made(steps(0, 6), *sounds, container="matroska")

    both = beeps(0, 6, each=0.5) if first is not silence else beeps(0, 6)
    notes = (FilmNote.SOUNDS_MIXED,)
    return OddFilm(make, Expected(plain(6).pictures, both, 6, notes=notes))


def _slow() -> OddFilm:
    times = steps(0, 3, 240)
    shown = Pictures(times, rate=Fraction(240))
    seen = [(number, times[number]) for number in range(0, len(times), 4)]
    return OddFilm(
        lambda: made(shown, Heard(0, 3), container="mov"),
        Expected(seen, beeps(0, 3), 3, step=1 / 240),
    )


_AT_ONCE, _LATE = steps(0, 6), steps(12, 18)
_LONG = ("mkv", "mp4", "webm")
_CONTAINERS = {"mkv": "matroska", "mp4": "mp4", "webm": "webm"}

FILMS: Mapping[str, OddFilm] = {
    "base20.mp4": OddFilm(lambda: base(20), plain(20)),
    "base6.mp4": OddFilm(lambda: base(6), plain(6)),
    "late-video.mkv": _odd(_LATE, (0, 18), "matroska"),
    "late-video.mp4": _odd(_LATE, (0, 18)),
    "late-1.8s.mp4": _odd(steps(1.8, 7.8), (0, 7.8)),
    **{f"long-sound.{end}": _odd(_AT_ONCE, (0, 20), _CONTAINERS[end]) for end in _LONG},
    "long-sound-nodur.webm": _odd(_AT_ONCE, (0, 20), "webm", options=LIVE),
    "still-end-ok.mp4": _odd([*_AT_ONCE, 599 / 30], (0, 20)),
    "still-end.mp4": _odd(_AT_ONCE, (0, 20), lasts=14 + _STEP),
    "still-end.mkv": _odd(_AT_ONCE, (0, 20), "matroska", lasts=14 + _STEP),
    "last-picture-late.mp4": _odd([*_AT_ONCE, 16.0], None),
    "sparse.mp4": _odd([0.0, 5.0, 10.0, 15.0], (0, 20)),
    "ts1000.mkv": _odd(steps(1000, 1020), (1000, 1020), "matroska"),
    "vfr0.mp4": _call(),
    "zoom.mp4": _call(32_000),
    "slow240.mov": _slow(),
    "part.webm": OddFilm(part, _parts(1)),
    "two-in-one.webm": OddFilm(lambda: part() * 2, _parts(2)),
    "no-first-key.mkv": _joined_late("libx264", REORDERED),
    "no-first-key-vp8.mkv": _joined_late("libvpx", VP8),
    "sound-gaps.mov": _with_gaps(),
    "obs-two-tracks.mkv": _two_sides(beep, late_beep),
    "obs-first-silent.mkv": _two_sides(silence, beep),
}
"""By the name under which somebody would send it."""
