"""What a film looks and sounds like: stills, a filmstrip, and how loud it is when.

Nothing is kept: pictures and numbers are given as they are made, and sealed by whoever asked.
"""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from fractions import Fraction

from appliance.media.footage import Out, Seconds, opened
from appliance.media.jpeg import SMALL, STILL, jpeg
from appliance.media.wire import FilmRefusal, Source, refusal

_EVERY, _ENOUGH = 17, 1000
"""Of longer sound only every 17th sample is read: a prime, with which no tone keeps step."""


def still(source: Source, at: Seconds, out: Out) -> Fraction:
    """Write the frame that is seen at `at` seconds to `out` as a JPEG, and say when it appeared: 0
    of the first one where none has come before. A moment less than a thousandth of a second before
    a picture means that picture. Raises BadInput if `at` is not in the film, BadFile if the source
    is not a film."""
    with opened(source) as film:
        film.check(film.on_ticks(at))
        span = film.read(at, at, sound=False)
        appeared, seen = film.begin, None
        for moment, frame in film.frames(span.picture):
            if moment > span.start:
                seen = seen or frame
                break
            appeared, seen = moment, frame
        if seen is None:
            raise refusal(FilmRefusal.NOTHING_SHOWN)
        picture = jpeg(seen, film.aspect, STILL, light=film.light)
        appeared = max(appeared - film.begin, Fraction(0))
    out.write(picture)
    return appeared


def filmstrip(source: Source, count: int, height: int) -> Iterator[tuple[Fraction, bytes]]:
    """`count` small JPEGs, `height` pixels high, from the middle of as many equal parts of a film.

    Each comes with the second that it shows: that of the key frame before the middle, for only key
    frames are decoded. Each is made when it is asked for; close the iterator to stop early. Raises
    BadFile if the source is not a film, and what reading it raises.
    """
    with opened(source) as film:
        # One picture at a time: a decoder that works on several would wait for the others.
        film.picture.codec_context.thread_type = "SLICE"
        place: int | None = None
        made: tuple[Fraction, bytes] | None = None
        for number in range(count):
            packet = film.key_frame((number + Fraction(1, 2)) * film.length / count)
            if packet is not None and (made is None or packet.pts != place):
                place = packet.pts
                for moment, frame in film.frames([packet]):
                    made = (
                        max(moment - film.begin, Fraction(0)),
                        jpeg(frame, film.aspect, SMALL, height, film.light),
                    )
            if made is None:
                raise refusal(FilmRefusal.NOTHING_SHOWN)
            yield made


def peaks(source: Source, count: int) -> Iterator[float]:
    """How loud each of `count` equal parts of a film is, at most: from 0 to 1; nothing of a film
    without sound.

    Each is given as soon as it is known; close the iterator to stop early. Raises as `filmstrip`.
    """
    with opened(source, whole=True) as film:
        if film.sound is None:
            return
        parts, zero = count / float(film.length), float(film.begin)
        loudest, given = array("d", bytes(8 * count)), 0
        for piece in film.heard(None):
            begin, rate = (piece.time or 0.0) - zero, piece.sample_rate
            every = _EVERY if rate > parts * _ENOUGH else 1
            first, last = begin * parts, (begin + (piece.samples - 1) / rate) * parts
            while given < min(int(first), count):
                yield min(loudest[given], 1.0)
                given += 1
            for part in range(max(int(first), 0), min(int(last) + 1, count)):
                edges = (math.ceil((edge / parts - begin) * rate) for edge in (part, part + 1))
                start, stop = (min(max(edge, 0), piece.samples) for edge in edges)
                for plane in piece.planes:
                    samples = memoryview(plane).cast("B").cast("f")[start:stop:every]
                    if samples:
                        loudest[part] = max(loudest[part], max(samples), -min(samples))
        yield from (min(loud, 1.0) for loud in loudest[given:])
