"""Sound held against picture in a film of the test card, as it comes out when it is decoded.

The card (`firmware.cameras.testcard`) flashes and beeps at the start of each second, with one pitch
after the other: so a flash and a beep that belong together are known by themselves.
"""

from array import array
from collections.abc import Iterator
from io import IOBase
from itertools import pairwise

import av

from appliance.errors import BadInput

LOWEST, HIGHER, PITCHES = 600, 200, 8
"""Hertz of the first beep, how much higher each of the next is, and how many there are."""
_BEEP = 0.08
"""Seconds of a beep by which its pitch is told."""
_LOUD = 0.1
_BRIGHT = 150
_QUIET = 0.3
"""Seconds without a signal after which the next one is another."""


def worst(film: IOBase, start: float, seconds: float = 4.0) -> float:
    """Seconds by which a beep is off its flash, at worst, `seconds` long from `start` on.

    The signal at `start` itself does not count. Raises BadInput where there is no flash or one has
    no beep, as in a film of anything but the test card.
    """
    with av.open(film, "r") as container:
        flashes = [at for at in _flashes(container, start, seconds + 0.5) if at > start]
    film.seek(0)
    with av.open(film, "r") as container:
        beeps = {second: at for at, second in _beeps(container, start, seconds + 1.5)}
    try:
        return max(abs(at - beeps[round(at) % PITCHES]) for at in flashes)
    except (KeyError, ValueError) as error:
        raise BadInput("The film does not show the test card, or its sound is gone.") from error


def _flashes(film: av.container.InputContainer, start: float, seconds: float) -> Iterator[float]:
    """When the lowest part of the picture turns bright."""
    stream = film.streams.video[0]
    film.seek(round(max(start - 1, 0) * av.time_base))
    dark = False
    for frame in film.decode(stream):
        assert frame.time is not None
        if frame.time >= start + seconds:
            return
        plane = frame.planes[0]
        row = bytes(plane)[(frame.height - 10) * plane.line_size :][: frame.width]
        bright = sum(row) > _BRIGHT * len(row)
        if bright and dark:
            yield frame.time
        dark = not bright


def _beeps(
    film: av.container.InputContainer, start: float, seconds: float
) -> Iterator[tuple[float, int]]:
    """When it turns loud, and by the pitch which second's beep it is."""
    stream = film.streams.audio[0]
    film.seek(round(max(start - 1, 0) * av.time_base))
    heard, begins = array("f"), 0.0
    for frame in film.decode(stream):
        assert frame.time is not None
        if not heard:
            begins = frame.time
        if frame.time >= start + seconds:
            break
        heard.frombytes(bytes(frame.planes[0])[: 4 * frame.samples])
    rate, last = stream.rate, -stream.rate
    for place, value in enumerate(heard):
        if abs(value) < _LOUD:
            continue
        if place - last > _QUIET * rate:
            tone = heard[place : place + round(_BEEP * rate)]
            rises = sum(a < 0 <= b for a, b in pairwise(tone))
            yield begins + place / rate, round((rises / _BEEP - LOWEST) / HIGHER) % PITCHES
        last = place
