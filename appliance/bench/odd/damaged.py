"""Films that are torn, have a bit turned, or say of themselves what hardly any does: what is
brought in of them is a film, or is refused in words, within the limits."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.codec.context import CodecContext

from appliance.bench.odd.drawn import sized
from appliance.bench.odd.expected import bring
from appliance.bench.odd.muxed import VP8, Heard, assembled, made, steps
from appliance.media.apart import Apart
from appliance.media.wire import FilmRefusal, reason_of

PLACES = 10
HOUR = 3600
LONGEST = 2 * HOUR
"""Seconds that a strange film may last: nothing is refused as too long that could be brought in."""
MOST_SECONDS, _OF = 120.0, 600
"""Seconds of the clock for what may last so many; as much more for what may be longer."""


@dataclass(frozen=True)
class Answer:
    """What became of one."""

    seconds: float
    """Of the clock, as if it may have lasted ten minutes."""
    refused: str = ""
    """The code; empty if it came in."""
    wrong: str = ""
    """Why this is no answer; empty if it is one."""


def torn_and_turned(film: bytes, seed: int, places: int = PLACES) -> Iterator[tuple[str, bytes]]:
    """A film torn at so many places, and with one bit turned at as many, all told by `seed`."""
    dice = random.Random(seed)  # noqa: S311 - places
    for _ in range(places):
        at = dice.randrange(1, len(film))
        yield f"torn at {at}, seed {seed}", film[:at]
    for _ in range(places):
        at, bit = dice.randrange(len(film)), dice.randrange(8)
        turned = bytearray(film)
        turned[at] ^= 1 << bit
        yield f"bit {bit} of {at}, seed {seed}", bytes(turned)


def answer(film: bytes, apart: Apart, longest: int = 600) -> Answer:
    """Bring it in. Whatever is raised but a refusal in words is told as wrong."""
    began = time.monotonic()
    try:
        came = bring(film, apart, longest)
    except Exception as error:  # A fault of ours, whatever it is: the row says which.
        return Answer(time.monotonic() - began, wrong=f"raised {error!r}")
    seconds = (time.monotonic() - began) * min(_OF / longest, 1.0)
    why = None if came.refused is None else reason_of(came.refused)
    wrong = ""
    if came.refused is None and not came.film:
        wrong = "nothing was made and nothing was said"
    elif why is FilmRefusal.NOT_MADE:
        wrong = "called hostile"
    elif came.refused is not None and why is None:
        wrong = f"refused without a code: {came.refused.sentence}"
    elif seconds > MOST_SECONDS:
        wrong = f"took {seconds:.0f} s"
    return Answer(seconds, why.value if why else "", wrong)


# --- What says of itself what hardly any does -----------------------------------------------------


def _hundred_hours_mkv() -> bytes:
    film = made(steps(0, 2), Heard(0, 2), container="matroska")
    place = film.index(b"\x44\x89\x88") + 3
    return film[:place] + struct.pack(">d", 100 * HOUR * 1000) + film[place + 8 :]


def _hundred_hours_mp4() -> bytes:
    """Its movie's head, each track's and each media's say so."""
    film = bytearray(made(steps(0, 2), Heard(0, 2)))
    for name, scale_at, length_at in ((b"mvhd", 12, 16), (b"tkhd", 0, 20), (b"mdhd", 12, 16)):
        at = film.find(name)
        while at >= 0:
            body = at + 4
            (scale,) = struct.unpack_from(">I", film, body + scale_at) if scale_at else (1000,)
            struct.pack_into(">I", film, body + length_at, min(100 * HOUR * scale, 0xFFFFFFFF))
            at = film.find(name, at + 4)
    return bytes(film)


def _huge(width: int, height: int) -> bytes:
    """An MP4 whose head names a picture of this size."""
    film = bytearray(made(steps(0, 1)))
    at = film.index(b"avc1") + 28
    struct.pack_into(">HH", film, at, width, height)
    return bytes(film)


def _huge_vp8() -> bytes:
    """Each key frame says that it is 16,383 by 16,383 points."""
    film = bytearray(made(steps(0, 1), container="webm"))
    at = film.find(b"\x9d\x01\x2a")
    while at >= 0:
        struct.pack_into("<HH", film, at + 3, 16_383, 16_383)
        at = film.find(b"\x9d\x01\x2a", at + 3)
    return bytes(film)


def _alternating(count: int) -> bytes:
    """Two key frames of different sizes, by turns."""
    each: list[Any] = []
    for size in ((64, 64), (128, 32)):
        context: Any = CodecContext.create("libvpx", "w")
        context.width, context.height, context.pix_fmt = *size, "yuv420p"
        context.time_base, context.options = Fraction(1, 30), dict(VP8)
        each += [*context.encode(sized(*size)(1)), *context.encode(None)][:1]
    return assembled([bytes(each[number % 2]) for number in range(count)], "libvpx", 30, "webm")


STRANGE: Mapping[str, Callable[[], bytes]] = {
    "a Matroska head of a hundred hours": _hundred_hours_mkv,
    "an MP4 head of a hundred hours": _hundred_hours_mp4,
    "a picture of 65,535 points to a side": lambda: _huge(65_535, 65_535),
    "a picture of 30,000 points to a side": lambda: _huge(30_000, 30_000),
    "a VP8 picture of 16,383 points to a side": _huge_vp8,
    "a picture every five minutes": lambda: made(
        [300.0 * number for number in range(13)], container="matroska"
    ),
    "ten thousand changes of size": lambda: _alternating(10_000),
    "sound that is an hour late": lambda: made(
        steps(0, 2), Heard(HOUR, HOUR + 2), container="matroska"
    ),
    "a picture that is an hour late": lambda: made(
        steps(HOUR, HOUR + 2), Heard(0, 2), container="matroska"
    ),
    "no picture at all": lambda: made([0.0], Heard(0, 2), container="matroska")[:300],
}
