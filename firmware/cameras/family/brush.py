"""Drawing with soft edges, without more than the bytes of a picture.

Everything is a filled convex shape: its corners are in units of the drawing, 1280 x 720 of which
fill the middle of a picture of any size. Shapes are painted one over another onto a `Layer`; what
does not change from picture to picture is painted once and put on as a `Sprite`, row by row.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import NamedTuple

import av

WIDE, HIGH = 1280, 720
"""Units of the drawing."""
_FINE = 2
"""Points that are painted for each of the picture, to a side, for the softness of edges."""
_HD = 720
"""Lines from which on a film that does not say is taken for BT.709, and not BT.601."""

Point = tuple[float, float]
Corners = Sequence[Point]


class Colour(NamedTuple):
    """Red, green and blue from 0 to 255."""

    red: int
    green: int
    blue: int

    def mixed(self, other: "Colour", part: float) -> "Colour":
        """This colour with so much of another, from 0 to 1."""
        return Colour(*(round(a + (b - a) * part) for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Fill:
    """A convex shape in one colour."""

    corners: Corners
    colour: Colour
    fall: int = 0
    """By how much it is darker at its foot than at its head, in steps of brightness."""
    within: Corners | None = None
    """Only inside this convex shape."""

    def moved(self, right: float, down: float) -> "Fill":
        """The same elsewhere."""

        def moved(corners: Corners) -> Corners:
            return [(x + right, y + down) for x, y in corners]

        within = None if self.within is None else moved(self.within)
        return Fill(moved(self.corners), self.colour, self.fall, within)


def circle(x: float, y: float, radius: float) -> list[Point]:
    return [(x + radius * a, y + radius * b) for a, b in _turns(radius)]


def ellipse(x: float, y: float, across: float, up: float, angle: float = 0.0) -> list[Point]:
    """With these half axes, turned clockwise by `angle` radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    sides = ((across * a, up * b) for a, b in _turns(max(across, up)))
    return [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in sides]


def _turns(radius: float) -> list[Point]:
    """Points of a circle, as many as make one of this radius look round."""
    return _TURNS[min(12 + 4 * round(radius / 9), 64)]


_TURNS = {
    steps: [
        (math.cos(2 * math.pi * n / steps), math.sin(2 * math.pi * n / steps)) for n in range(steps)
    ]
    for steps in range(12, 65, 4)
}


def around(*circles: tuple[float, float, float]) -> list[Point]:
    """The tightest convex shape around circles, each its middle and radius."""
    return hull([point for x, y, radius in circles for point in circle(x, y, radius)])


def hull(points: Iterable[Point]) -> list[Point]:
    """The corners of the tightest convex shape around points (Andrew's monotone chain)."""
    ordered = sorted(set(points))

    def chain(along: Iterable[Point]) -> list[Point]:
        kept: list[Point] = []
        for x, y in along:
            while len(kept) > 1:
                (ax, ay), (bx, by) = kept[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                kept.pop()
            kept.append((x, y))
        return kept[:-1]

    return chain(ordered) + chain(reversed(ordered))


def beyond(corners: Corners, start: Point, end: Point) -> list[Point]:
    """The part of a convex shape that lies to the right of the way from `start` to `end`, as seen
    on the picture. Empty if there is none."""
    (ax, ay), (bx, by) = start, end

    def side(point: Point) -> float:
        return (bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax)

    kept: list[Point] = []
    for here, there in zip(corners, [*corners[1:], *corners[:1]], strict=True):
        near, far = side(here), side(there)
        if near >= 0:
            kept.append(here)
        if (near >= 0) != (far >= 0):
            part = near / (near - far)
            kept.append(
                (here[0] + part * (there[0] - here[0]), here[1] + part * (there[1] - here[1]))
            )
    return kept


class Frame:
    """How the drawing lies in pictures of one size."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.scale = min(width / WIDE, height / HIGH)
        self.left = round((width - WIDE * self.scale) / 4) * 2
        self.top = round((height - HIGH * self.scale) / 4) * 2
        planes = av.VideoFrame(width, height, "yuv420p").planes
        self.line, self.colour_line = planes[0].line_size, planes[1].line_size
        # ITU-R BT.709-6 and BT.601-7: what red and blue are of brightness.
        self._red, self._blue = (0.2126, 0.0722) if height >= _HD else (0.299, 0.114)

    def coded(self, colour: Colour) -> tuple[int, int, int]:
        """Brightness (16 to 235) and the differences of blue and red (16 to 240)."""
        red, green, blue = (part / 255 for part in colour)
        bright = self._red * red + (1 - self._red - self._blue) * green + self._blue * blue
        return (
            round(16 + 219 * bright),
            round(128 + 112 * (blue - bright) / (1 - self._blue)),
            round(128 + 112 * (red - bright) / (1 - self._red)),
        )


def _lines(corners: Corners, high: int) -> tuple[int, list[float], list[float]]:
    """The first line that a convex shape takes, and from where to where it goes in each."""
    top = min(range(len(corners)), key=lambda n: corners[n][1])
    ring = [*corners[top:], *corners[: top + 1]]
    foot = max(range(len(ring)), key=lambda n: ring[n][1])
    starts, ends = _side(ring[: foot + 1]), _side(ring[foot:][::-1])
    if sum(starts) > sum(ends):
        starts, ends = ends, starts
    first = ceil(ring[0][1] - 0.5)
    above = max(-first, 0)
    seen = slice(above, max(high - first, above))
    return first + above, starts[seen], ends[seen]


def _side(way: Corners) -> list[float]:
    """How far to the right the edge of a shape is in each line, from its head to its foot."""
    found: list[float] = []
    for (x, y), (to_x, to_y) in pairwise(way):
        lines = ceil(to_y - 0.5) - ceil(y - 0.5)
        if lines > 0:
            step = (to_x - x) / (to_y - y)
            at = x + (ceil(y - 0.5) + 0.5 - y) * step
            found += [at + step * n for n in range(lines)]
    return found


class _Layer:
    """Something to paint on, twice as fine as the picture; what is not painted is clear. It is as
    large as what is painted, or as the picture."""

    def __init__(self, frame: Frame, fills: Sequence[Fill], everywhere: bool = False) -> None:
        self._frame = frame
        fine = _FINE * frame.scale
        placed = [
            ([(x * fine, y * fine) for x, y in fill.corners], fill)
            for fill in fills
            if len(fill.corners) > 2
        ]
        if everywhere:
            self.left, self.top = -_FINE * frame.left, -_FINE * frame.top
            self.wide, self.high = _FINE * frame.width, _FINE * frame.height
        else:
            across = [x for corners, _ in placed for x, _ in corners]
            down = [y for corners, _ in placed for _, y in corners]
            # Two by two points of the picture share their colour.
            step = 2 * _FINE
            self.left, self.top = (math.floor(min(side)) // step * step for side in (across, down))
            self.wide = (ceil(max(across)) - self.left) // step * step + step
            self.high = (ceil(max(down)) - self.top) // step * step + step
        size = self.wide * self.high
        self._bright, self._which = bytearray(size), bytearray(size)
        """How bright each point is, and which of the colours it has, from 1 on."""
        self._colours = [(0, 0, 0)]
        for corners, fill in placed:
            within = fill.within and [(x * fine, y * fine) for x, y in fill.within]
            self._paint(fill, self._moved(corners), self._moved(within) if within else None)

    def _moved(self, corners: Corners) -> list[Point]:
        return [(x - self.left, y - self.top) for x, y in corners]

    def _paint(self, fill: Fill, corners: Corners, within: Corners | None) -> None:
        first, starts, ends = _lines(corners, self.high)
        if within is not None:
            start, lefts, rights = _lines(within, self.high)
            # Only the lines that both have.
            skip, more = max(start - first, 0), max(first - start, 0)
            starts = list(map(max, starts[skip:], lefts[more:]))
            ends = list(map(min, ends[skip:], rights[more:]))
            first += skip
        colour = self._frame.coded(fill.colour)
        if colour not in self._colours:
            self._colours.append(colour)
        row, which = bytes((self._colours.index(colour),)) * self.wide, self._which
        bright, wide = self._bright, self.wide
        step = fill.fall / max(len(starts), 1)
        value = colour[0] + fill.fall / 2 + 0.5
        at = first * wide
        for x, end in zip(starts, ends, strict=True):
            left, right = ceil(x - 0.5), ceil(end - 0.5)
            left, right = left if left > 0 else 0, right if right < wide else wide
            if left < right:
                bright[at + left : at + right] = bytes((int(value),)) * (right - left)
                which[at + left : at + right] = row[: right - left]
            at += wide
            value -= step

    def bright(self) -> list[bytes]:
        """Rows of the picture: how bright its points are, as far as they are not clear."""
        return _rows(_halved(self._bright, self.wide), self.wide // _FINE)

    def hidden(self) -> list[bytes]:
        """Rows of the picture: how much of what is below is hidden, to 255."""
        painted = self._which.translate(bytes(1) + b"\xff" * 255)
        return _rows(_halved(painted, self.wide), self.wide // _FINE)

    def colours(self) -> list[tuple[bytes, bytes, bytes]]:
        """Rows half as fine as those of the picture: which of them are painted, and how blue and
        how red."""
        wide = self.wide
        blue, red = (bytes(one[n] for one in self._colours).ljust(256, b"\0") for n in (1, 2))
        return [
            (row, row.translate(blue), row.translate(red))
            for at in range(_FINE * wide, len(self._which), 2 * _FINE * wide)
            for row in [bytes(self._which[at + _FINE : at + wide : 2 * _FINE])]
        ]


def _halved(plane: bytearray, wide: int) -> bytes:
    """The mean of each two by two points: all of them at once, as digits of large numbers."""
    rows = range(0, len(plane), wide)
    above, below = (
        int.from_bytes(b"".join(plane[at : at + wide] for at in rows[n::2]), "little")
        for n in (0, 1)
    )
    size = len(plane) // 2
    every_second = int.from_bytes(b"\xff\x00" * (size // 2), "little")
    halves = int.from_bytes(b"\x02\x00" * (size // 2), "little")
    four = halves + sum((one >> shift) & every_second for one in (above, below) for shift in (0, 8))
    return ((four >> 2) & every_second).to_bytes(size, "little")[::2]


def _rows(plane: bytes, wide: int) -> list[bytes]:
    return [plane[at : at + wide] for at in range(0, len(plane), wide)]


class Sprite:
    """What is painted, ready to be put onto any number of pictures, and anywhere on them."""

    def __init__(self, frame: Frame, fills: Sequence[Fill], everywhere: bool = False) -> None:
        """`everywhere`: it fills the picture and no more, from its corner on."""
        layer = _Layer(frame, fills, everywhere)
        bright, hidden = layer.bright(), layer.hidden()
        start = layer.top // _FINE * frame.line + layer.left // _FINE
        self._whole = [
            (start + row * frame.line + run.start(), bright[row][run.start() : run.end()])
            for row, seen in enumerate(hidden)
            for run in _WHOLE.finditer(seen)
        ]
        """Where all below is hidden, from which place on, and by what."""
        self._soft = [
            (start + row * frame.line + at, bright[row][at], _STAYS[seen[at]])
            for row, seen in enumerate(hidden)
            for at in map(re.Match.start, _PART.finditer(seen))
        ]
        """Where it shines through: the place, what comes on top, and what stays of each value."""
        start = layer.top // (2 * _FINE) * frame.colour_line + layer.left // (2 * _FINE)
        self._colours = [
            (
                start + row * frame.colour_line + run.start(),
                blue[run.start() : run.end()],
                red[run.start() : run.end()],
            )
            for row, (painted, blue, red) in enumerate(layer.colours())
            for run in _ANY.finditer(painted)
        ]
        """Colour has no soft edges: it is half as fine, and nobody sees them."""

    def put(self, canvas: "Canvas", x: float = 0, y: float = 0) -> None:
        """Put it onto a picture, so many units of the drawing to the right and down."""
        frame, bright = canvas.frame, canvas.bright
        right, down = frame.left + round(x * frame.scale), frame.top + round(y * frame.scale)
        start = down * frame.line + right
        for at, values in self._whole:
            bright[start + at : start + at + len(values)] = values
        for at, value, stays in self._soft:
            bright[start + at] = value + stays[bright[start + at]]
        blue, red = canvas.blue, canvas.red
        start = down // 2 * frame.colour_line + right // 2
        for at, blues, reds in self._colours:
            end = start + at + len(blues)
            blue[start + at : end] = blues
            red[start + at : end] = reds


_STAYS = [bytes(round(value * (255 - seen) / 255) for value in range(256)) for seen in range(256)]
"""Of each brightness, what is seen of it through something that hides so much."""
_WHOLE, _PART, _ANY = (re.compile(of) for of in (b"\xff+", b"[\x01-\xfe]", b"[^\x00]+"))
"""Points that hide all, a part, or anything of what is below."""


class Canvas:
    """The three planes of a picture (yuv420p), in rows as long as libav keeps them."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        planes = av.VideoFrame(frame.width, frame.height, "yuv420p").planes
        self.bright, self.blue, self.red = (bytearray(plane.buffer_size) for plane in planes)

    def become(self, other: "Canvas") -> None:
        """Look like another of the same size."""
        self.bright[:], self.blue[:], self.red[:] = other.bright, other.blue, other.red

    def shown(self) -> av.VideoFrame:
        """As libav takes it."""
        shown = av.VideoFrame(self.frame.width, self.frame.height, "yuv420p")
        for plane, data in zip(shown.planes, (self.bright, self.blue, self.red), strict=True):
            plane.update(bytes(data))
        return shown


Placed = tuple[Sprite, float, float]
"""A sprite, and by how many units it is put to the right and down."""


class Easel:
    """One picture after another of a place. What lies under all that changed is painted once."""

    def __init__(self, place: Canvas) -> None:
        self._place = place
        self._below, self._canvas = Canvas(place.frame), Canvas(place.frame)
        self._below.become(place)
        self._laid = 0
        """How many of the last sprites are on `_below`."""
        self._last: list[Placed] = []

    def picture(self, sprites: list[Placed]) -> av.VideoFrame:
        """The place with these on it, one over another."""
        same = 0
        for now, before in zip(sprites, self._last, strict=False):
            if now != before:
                break
            same += 1
        if same < self._laid:
            self._below.become(self._place)
            self._laid = 0
        for sprite, x, y in sprites[self._laid : same]:
            sprite.put(self._below, x, y)
        self._laid, self._last = same, sprites
        self._canvas.become(self._below)
        for sprite, x, y in sprites[same:]:
            sprite.put(self._canvas, x, y)
        return self._canvas.shown()
