"""Heads that turn: what is on a face lies on a ball, and goes round with it."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from firmware.cameras.family.brush import (
    Colour,
    Corners,
    Fill,
    Point,
    around,
    beyond,
    circle,
    ellipse,
)

_WIDE_AWAKE = 0.88
"""How far an eye is open that is not closed: lids that show make it friendly."""
_WHITE, _DARK = Colour(252, 250, 246), Colour(52, 36, 32)
_RED, _MOUTH, _TONGUE = Colour(140, 30, 44), Colour(100, 32, 40), Colour(214, 118, 112)
_ROSE = Colour(226, 112, 100)


class Face(NamedTuple):
    """What a head does. Angles in degrees."""

    turn: float = 0.0
    """To the right of the picture; 0 is towards who looks at it."""
    nod: float = 0.0
    """Down."""
    tilt: float = 0.0
    """Of the crown, to the right."""
    look_x: float = 0.0
    look_y: float = 0.0
    """Where the eyes look, from -1 to 1: left to right, up to down."""
    lids: float = 1.0
    """1 is open, 0 closed."""
    mouth: float = 0.0
    """How far it is open, to 1."""
    round: float = 0.0
    """From a wide mouth, 0, to a round one, 1."""
    smile: float = 0.0
    brows: float = 0.0
    """How far they are up, to 1."""


@dataclass(frozen=True)
class Build:
    """How a head is made; lengths are in radii of the head."""

    radius: float
    skin: Colour
    hair: Colour
    iris: Colour
    style: str
    jaw: float
    """How wide it is below."""
    long: float
    """How far down the chin is."""
    eyes: float
    """How large they are."""
    apart: float
    """How many degrees each eye is from the middle."""
    low: float
    """How many degrees the eyes lie below the middle."""
    hairline: float
    """How many degrees it lies above the middle."""


class Head:
    """One head in one attitude, as shapes to fill."""

    def __init__(self, build: Build, face: Face) -> None:
        self._build, self._face = build, face
        self._radius = build.radius
        self._side = math.sin(math.radians(face.turn))

    def _at(self, x: float, y: float) -> Point:
        """A point of the picture, from one of the upright head in radii."""
        angle = math.radians(self._face.tilt)
        cos, sin = math.cos(angle), math.sin(angle)
        return (
            self._radius * (x * cos - y * sin),
            self._radius * (x * sin + y * cos),
        )

    def _on(self, across: float, down: float, far: float = 1.0) -> tuple[float, float, float]:
        """Where on the ball so many degrees to the right of the nose and below it are now: x, y in
        radii, and how much it faces us (below 0: away)."""
        lon, lat = math.radians(across), math.radians(down)
        turn, nod = math.radians(self._face.turn), math.radians(self._face.nod)
        x, y, z = math.cos(lat) * math.sin(lon), math.sin(lat), math.cos(lat) * math.cos(lon)
        y, z = y * math.cos(nod) + z * math.sin(nod), z * math.cos(nod) - y * math.sin(nod)
        x, z = x * math.cos(turn) + z * math.sin(turn), z * math.cos(turn) - x * math.sin(turn)
        if z < 0:
            # Behind the edge: as near to it as it is seen.
            length = math.hypot(x, y)
            x, y = x / length, y / length
        return 0.88 * far * x, far * y, z

    def _spot(self, across: float, down: float, wide: float, high: float) -> Corners:
        """An ellipse on the ball, narrower where that turns away."""
        x, y, facing = self._on(across, down)
        size = self._radius
        middle = self._at(x, y)
        return ellipse(
            *middle,
            size * wide * max(facing, 0.3),
            size * high,
            math.radians(self._face.tilt),
        )

    def _circles(self, *circles: tuple[float, float, float]) -> Corners:
        """The shape around circles of the upright head, in radii."""
        return around(*((*self._at(x, y), radius * self._radius) for x, y, radius in circles))

    def _arc(self, x: float, y: float, wide: float, bow: float, thick: float) -> list[Corners]:
        """A line of half this width, its middle lower by `bow` than its ends, of this thickness
        that dwindles to the ends."""
        parts = [n / 2 - 1 for n in range(5)]
        above = [
            (x + wide * p, y + bow * (0.5 - p * p) - thick * (1.15 - 0.6 * p * p)) for p in parts
        ]
        below = [
            (x + wide * p, y + bow * (0.5 - p * p) + thick * (1.15 - 0.6 * p * p)) for p in parts
        ]
        edge = [self._at(*point) for point in above], [self._at(*point) for point in below]
        return [
            [edge[0][n], edge[0][n + 1], edge[1][n + 1], edge[1][n]] for n in range(len(parts) - 1)
        ]

    def _skull(self, grown: float = 0.0) -> Corners:
        side, build = self._side, self._build
        nod = 0.12 * math.sin(math.radians(self._face.nod))
        return self._circles(
            (0.0, -0.10, 0.90 + grown),
            (0.10 * side + 0.16, 0.34 + nod, build.jaw),
            (0.10 * side - 0.16, 0.34 + nod, build.jaw),
            (0.20 * side, build.long - 0.34 + nod, 0.34),
        )

    def behind(self) -> list[Fill]:
        """What is seen of the hair behind the head."""
        build, side = self._build, self._side
        hair = build.hair
        dark = hair.mixed(Colour(0, 0, 0), 0.18)
        if build.style == "bun":
            return [
                Fill(self._circles((-0.62 * side, -0.86, 0.36)), dark, 14),
                Fill(self._circles((-0.16 * side, -0.14, 0.93), (-0.34 * side, 0.34, 0.56)), hair),
            ]
        if build.style == "bob":
            back = (-0.20 * side, -0.10, 0.97), (-0.52 * side, 0.62, 0.42)
            return [Fill(self._circles(*back, (0.30 * side, 0.58, 0.34)), dark, 10)]
        if build.style == "curls":
            return [
                Fill(self._circles((0.92 * x - 0.14 * side, 0.92 * y - 0.16, 0.34)), hair, 10)
                for x, y in (_round(turn) for turn in range(150, 396, 30))
            ]
        # A child's few locks.
        return [
            Fill(self._circles((x - 0.06 * side, -0.90 + y, 0.15)), hair)
            for x, y in ((-0.22, -0.02), (0.0, -0.10), (0.2, -0.02))
        ]

    def still(self) -> list[Fill]:
        """The head without what moves on it, in the order in which it is painted."""
        skin = self._build.skin
        skull = self._skull()
        near, far = (1, -1) if self._side < 0 else (-1, 1)
        x, y, _ = self._on(0, 16, 1.06)
        nose = self._circles((x, y, 0.075), (x + 0.05 * self._side, y + 0.03, 0.07))
        tip = self._circles((x - 0.01, y - 0.03, 0.062))
        return [
            *self.behind(),
            *self._ear(far),
            Fill(skull, skin, 16),
            *self._cheeks(skull),
            *self._hair(),
            # The near ear lies over the hair.
            *self._ear(near),
            Fill(nose, skin.mixed(Colour(150, 60, 44), 0.30)),
            Fill(tip, skin.mixed(Colour(255, 255, 255), 0.08)),
        ]

    def _ear(self, side: int) -> list[Fill]:
        x, y, facing = self._on(90 * side, 12)
        if facing < -0.4:
            return []
        skin = self._build.skin
        inner = skin.mixed(Colour(96, 44, 36), 0.22)
        ear = self._circles((x, y - 0.05, 0.16), (x, y + 0.08, 0.12))
        return [Fill(ear, skin, 6), Fill(self._circles((x, y, 0.08)), inner)]

    def eyes(self) -> list[Fill]:
        """Eyes and brows."""
        skull = self._skull()
        return [fill for side in (-1, 1) for fill in self._eye(side, skull)]

    def _cheeks(self, skull: Corners) -> list[Fill]:
        rose = self._build.skin.mixed(_ROSE, 0.28)
        return [
            Fill(self._spot(41 * side, 30, 0.24, 0.17), rose, within=skull)
            for side in (-1, 1)
            if self._on(41 * side, 30)[2] > 0.1
        ]

    def _hair(self) -> list[Fill]:
        build = self._build
        cap = self._circles((0.0, -0.12, 0.945))
        high = -build.hairline
        fills = []
        parting = self._at(*self._on(12, high)[:2])
        for side in (-1, 1):
            temple = self._at(*self._on(52 * side, high * 0.62)[:2])
            ear = self._at(*self._on(88 * side, -4)[:2])
            ends = [(temple, parting), (ear, temple)]
            if side > 0:
                ends = [(end, start) for start, end in ends]
            for start, end in ends:
                fills.append(Fill(beyond(cap, end, start), build.hair, 8))
        return fills

    def _eye(self, side: int, skull: Corners) -> list[Fill]:
        build, face = self._build, self._face._replace(lids=_WIDE_AWAKE * self._face.lids)
        across, low, size = build.apart * side, build.low, build.eyes
        x, y, facing = self._on(across, low)
        if facing < 0.12:
            return []
        narrow = max(facing, 0.42)
        wide, high = size * narrow, size * (0.94 + 0.10 * face.brows)
        tilt = math.radians(face.tilt)
        middle = self._at(x, y)
        radius = self._radius
        dark = _DARK.mixed(build.skin, 0.2)
        if face.lids > 0.15:
            up = high * (1 - 0.25 * max(face.smile, 0) * (1 - face.brows))
            white = ellipse(*middle, radius * wide, radius * up, tilt)
            lid = y - high + 2 * high * (1 - face.lids)
            level = self._at(x - 1, lid), self._at(x + 1, lid)
            open_ = beyond(white, *level)
            # Lashes are what is seen of a dark eye behind it.
            lash = beyond(
                ellipse(*self._at(x, y - 0.06), radius * (wide + 0.016), radius * up, tilt),
                *(self._at(x + far, lid - 0.05) for far in (-1, 1)),
            )
            iris = size * 0.66
            on = self._at(
                x + face.look_x * (wide - 0.55 * iris * narrow), y + face.look_y * 0.40 * high
            )
            ball = ellipse(*on, radius * iris * narrow, radius * iris, tilt)
            black = ellipse(*on, radius * iris * narrow * 0.58, radius * iris * 0.58, tilt)
            glint = radius * iris
            light = circle(on[0] + 0.2 * glint, on[1] - 0.38 * glint, 0.26 * glint)
            fills = [
                Fill(lash, dark, within=skull),
                Fill(open_, _WHITE, within=skull),
                Fill(ball, build.iris, within=open_),
                Fill(black, _DARK, within=open_),
                Fill(light, _WHITE, within=open_),
            ]
        else:
            arc = self._arc(x, y + 0.3 * high, 1.05 * wide, 0.3 * high, 0.022)
            fills = [Fill(part, dark) for part in arc]
        brow = self._arc(
            x, y - 1.7 * high - 0.12 * face.brows, 1.2 * wide, -0.07 - 0.05 * face.brows, 0.026
        )
        hair = build.hair.mixed(build.skin, 0.25)
        return fills + [Fill(part, hair, within=skull) for part in brow]

    def mouth(self) -> list[Fill]:
        face, skull = self._face, self._skull()
        red = self._build.skin.mixed(_RED, 0.56)
        x, y, facing = self._on(0, 38, 0.98)
        narrow = max(facing, 0.55)
        x -= 0.03 * self._side
        wide = (0.25 + 0.08 * face.smile) * (1 - 0.4 * face.round * face.mouth) * narrow
        bend = 0.10 * face.smile
        if face.mouth < 0.12:
            lips = self._arc(x, y, wide, 2 * bend * narrow, 0.026)
            return [Fill(part, red, within=skull) for part in lips]
        high = 0.06 + 0.13 * face.mouth
        tilt = math.radians(face.tilt)
        middle = self._at(x, y + 0.3 * high)
        size = self._radius

        def oval(grown: float) -> Corners:
            whole = ellipse(*middle, size * (wide * 0.92 + grown), size * (high + grown), tilt)
            if face.round > 0.5 or face.smile < 0.2:
                return whole
            # A laugh is flat above.
            level = y + 0.05 * high - grown
            return beyond(whole, self._at(x - 1, level), self._at(x + 1, level))

        inside = oval(0.0)
        tongue = ellipse(*self._at(x, y + 1.2 * high), size * wide * 0.6, size * high * 0.5, tilt)
        return [
            Fill(oval(0.028), red, within=skull),
            Fill(inside, _MOUTH, within=skull),
            Fill(tongue, _TONGUE, within=inside),
        ]


def _round(degrees: float) -> Point:
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
