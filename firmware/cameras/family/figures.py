"""An adult and a child on the floor, and what they play with, as parts to put onto a picture."""

import enum
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from firmware.cameras.family.brush import Colour, Fill, Point, around, circle, ellipse, hull
from firmware.cameras.family.heads import Build, Face, Head


class Depth(enum.IntEnum):
    """What is painted over what. What moves least comes first: it need not be painted anew."""

    BEHIND = 0
    FAR_ARM = 1
    BODY = 2
    HEAD = 3
    EYES = 4
    MOUTH = 5
    TOY = 6
    NEAR_ARM = 7


class Part(NamedTuple):
    """Something that is painted once for each form it has."""

    form: tuple[object, ...]
    """What it looks like: two of the same form are the same."""
    depth: Depth
    x: float
    y: float
    """Where it is, in units of the drawing."""
    fills: Callable[[], list[Fill]]


class Pose(NamedTuple):
    """What one of the two does."""

    face: Face
    lean: float = 0.0
    """How far the shoulders are forward, towards the other."""
    near: Point = (0.0, 0.0)
    """Where the hand nearer to who looks on is."""
    far: Point = (0.0, 0.0)
    """Where the other is."""


@dataclass(frozen=True)
class Body:
    """How one of the two is built and dressed; `facing` is 1 to the right, -1 to the left."""

    head: Build
    facing: int
    hip: Point
    hip_radius: float
    shoulder: Point
    """From the hip, sitting upright."""
    shoulder_radius: float
    neck: Point
    """The middle of the head, from the shoulders."""
    upper: float
    lower: float
    """Lengths of an arm."""
    arm: tuple[float, float, float]
    """Its radius at shoulder, elbow and wrist."""
    hand: float
    top: Colour
    trousers: Colour
    socks: Colour
    legs: tuple[tuple[Point, float], ...]
    """Hip, knee, ankle and toes of the near leg, and how thick it is there."""


def _nearest(value: float, step: float) -> float:
    return round(value / step) * step


class Figure:
    """One of the two, in any pose."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def parts(self, pose: Pose) -> Iterator[Part]:
        """What is seen of them, to be sorted by depth."""
        body = self._body
        lean = _nearest(pose.lean, 6)
        shoulders = (
            body.hip[0] + body.shoulder[0] + body.facing * lean,
            body.hip[1] + body.shoulder[1] + 0.22 * abs(lean),
        )
        yield Part(("body", body, lean), Depth.BODY, 0, 0, lambda: self._trunk(shoulders))
        for depth, hand, shift in (
            (Depth.FAR_ARM, pose.far, 0.55),
            (Depth.NEAR_ARM, pose.near, -0.15),
        ):
            root = shoulders[0] + body.facing * shift * body.shoulder_radius, shoulders[1] + 8
            reach = _nearest(hand[0] - root[0], 5), _nearest(hand[1] - root[1], 5)
            paint = partial(self._arm, reach, depth is Depth.NEAR_ARM)
            yield Part(("arm", body, depth, reach), depth, *root, paint)
        x, y = shoulders[0] + body.neck[0], shoulders[1] + body.neck[1]
        yield from self._head(x, y, pose.face)

    def _head(self, x: float, y: float, face: Face) -> Iterator[Part]:
        build = self._body.head
        turned = face._replace(
            turn=_nearest(face.turn, 4), nod=_nearest(face.nod, 4), tilt=_nearest(face.tilt, 3)
        )
        still = turned[:3]
        eyes = Face(
            *still,
            look_x=_nearest(face.look_x, 0.25),
            look_y=_nearest(face.look_y, 0.25),
            lids=_nearest(face.lids, 0.5),
            smile=_nearest(face.smile, 0.5),
            brows=_nearest(face.brows, 0.5),
        )
        mouth = Face(
            *still,
            mouth=_nearest(face.mouth, 0.25),
            round=_nearest(face.round, 0.5),
            smile=_nearest(face.smile, 0.5),
        )
        for depth, form, paint in (
            (Depth.HEAD, Face(*still), Head.still),
            (Depth.EYES, eyes, Head.eyes),
            (Depth.MOUTH, mouth, Head.mouth),
        ):
            yield Part((depth, build, form), depth, x, y, partial(_painted, paint, build, form))

    def _trunk(self, shoulders: Point) -> list[Fill]:
        body = self._body
        (x, y), radius = body.hip, body.hip_radius
        head = body.head
        behind = body.trousers.mixed(Colour(20, 20, 30), 0.22)
        legs = [*self._leg(behind, (body.facing * 26, -20)), *self._leg(body.trousers, (0, 0))]
        base = shoulders[0] + 0.4 * body.neck[0], shoulders[1] + 0.45 * body.neck[1]
        neck = around(
            (shoulders[0], shoulders[1] - 6, 0.34 * head.radius), (*base, 0.32 * head.radius)
        )
        shade = head.skin.mixed(Colour(96, 44, 36), 0.16)
        waist = (x + shoulders[0]) / 2 + body.facing * 8, (y + shoulders[1]) / 2
        trunk = around(
            (x, y, radius),
            (*waist, 0.97 * body.hip_radius),
            (shoulders[0] + 14, shoulders[1] + 6, body.shoulder_radius),
            (shoulders[0] - 14, shoulders[1] + 6, body.shoulder_radius),
        )
        collar = ellipse(
            shoulders[0] + body.facing * 10,
            shoulders[1] - 0.80 * body.shoulder_radius,
            0.46 * head.radius,
            0.17 * head.radius,
        )
        return [
            *legs[: len(legs) // 2],
            Fill(neck, shade),
            Fill(collar, body.top.mixed(Colour(0, 0, 0), 0.14)),
            Fill(trunk, body.top, 26),
            *legs[len(legs) // 2 :],
        ]

    def _leg(self, cloth: Colour, shift: Point) -> list[Fill]:
        body = self._body
        places = [(x + shift[0], y + shift[1], radius) for (x, y), radius in body.legs]
        hip, knee, ankle, toes = places
        foot = around((ankle[0], ankle[1] + 2, 0.86 * ankle[2]), toes)
        return [
            Fill(foot, body.socks if shift == (0, 0) else body.socks.mixed(cloth, 0.3), 12),
            Fill(around(knee, ankle), cloth, 14),
            Fill(around(hip, knee), cloth, 18),
        ]

    def _arm(self, reach: Point, near: bool) -> list[Fill]:
        body = self._body
        top, skin = body.top, body.head.skin
        if not near:
            top = top.mixed(Colour(30, 20, 30), 0.16)
            skin = skin.mixed(Colour(96, 44, 36), 0.10)
        elbow, wrist = _bent(reach, body.upper, body.lower, body.facing)
        along = math.atan2(wrist[1] - elbow[1], wrist[0] - elbow[0])
        cos, sin = math.cos(along), math.sin(along)
        size = body.hand
        palm = wrist[0] + 0.55 * size * cos, wrist[1] + 0.55 * size * sin
        tips = wrist[0] + 1.35 * size * cos, wrist[1] + 1.35 * size * sin
        thumb = palm[0] + 0.6 * size * (cos + sin), palm[1] + 0.6 * size * (sin - cos)
        thick, bend, end = body.arm
        edge = top.mixed(Colour(0, 0, 0), 0.10)
        cuff = around((wrist[0] - 3 * cos, wrist[1] - 3 * sin, end + 1), (*wrist, end + 1))
        return [
            Fill(around((*palm, 0.34 * size), (*thumb, 0.30 * size)), skin),
            Fill(around((*palm, 0.82 * size), (*tips, 0.52 * size)), skin, 8),
            Fill(around((*elbow, bend), (*wrist, end)), top, 12),
            Fill(cuff, edge),
            Fill(around((0, 0, thick), (*elbow, bend)), top, 14),
        ]


def _painted(paint: Callable[[Head], list[Fill]], build: Build, face: Face) -> list[Fill]:
    return paint(Head(build, face))


def _bent(reach: Point, upper: float, lower: float, side: int) -> tuple[Point, Point]:
    """Elbow and wrist of an arm from 0, 0 that goes as far as it can towards `reach`."""
    across, down = reach
    whole = max(math.hypot(across, down), 1.0)
    far = min(max(whole, abs(upper - lower) + 1), upper + lower - 1)
    cos, sin = across / whole, down / whole
    along = (upper * upper - lower * lower + far * far) / (2 * far)
    out = side * math.sqrt(max(upper * upper - along * along, 0.0))
    elbow = along * cos - out * sin, along * sin + out * cos
    return elbow, (far * cos, far * sin)


BALL, BLOCK = 38, 27
"""Radius, and half a side, of what they play with."""


def ball(x: float, y: float, colour: Colour) -> Part:
    """A ball that has rolled to `x`."""
    turn = _nearest(math.degrees(x / BALL) % 360, 12)
    return Part(("ball", colour, turn), Depth.TOY, x, y, partial(_ball, math.radians(turn), colour))


def _ball(turn: float, colour: Colour) -> list[Fill]:
    whole = circle(0, 0, BALL)
    cos, sin = math.cos(turn), math.sin(turn)

    def band(low: float, high: float) -> list[Point]:
        edge = [(a, b) for a in (-1.2 * BALL, 1.2 * BALL) for b in (low * BALL, high * BALL)]
        return hull([(a * cos - b * sin, a * sin + b * cos) for a, b in edge])

    pale = Colour(252, 244, 228)
    return [
        Fill(ellipse(4, BALL - 3, BALL * 0.95, 9), Colour(150, 166, 160)),
        Fill(whole, colour, 30),
        Fill(ellipse(-13, -19, 9, 6, -0.6), colour.mixed(Colour(255, 255, 255), 0.35)),
        Fill(band(-0.32, 0.32), pale, 18, within=whole),
        Fill(circle(0.62 * BALL * sin, -0.62 * BALL * cos, 7), pale, within=whole),
        Fill(circle(-0.62 * BALL * sin, 0.62 * BALL * cos, 7), pale, within=whole),
    ]


def block(number: int, x: float, y: float, colour: Colour) -> Part:
    """A wooden block with its middle at `x`, `y`."""
    return Part(("block", number, colour), Depth.TOY, x, y, partial(_block, number, colour))


def _block(number: int, colour: Colour) -> list[Fill]:
    side = BLOCK
    front = [(-side, -side), (side, -side), (side, side), (-side, side)]
    lid = [(-side, -side), (-side + 12, -side - 12), (side + 12, -side - 12), (side, -side)]
    flank = [(side, -side), (side + 12, -side - 12), (side + 12, side - 12), (side, side)]
    pale = colour.mixed(Colour(255, 255, 255), 0.55)
    signs = (
        [circle(0, 0, 13)],
        [[(-13, 11), (0, -14), (13, 11)]],
        [[(-12, -12), (12, -12), (12, 12), (-12, 12)]],
    )
    return [
        Fill(lid, colour.mixed(Colour(255, 255, 255), 0.28)),
        Fill(flank, colour.mixed(Colour(40, 20, 40), 0.20)),
        Fill(front, colour, 10),
        *(Fill(sign, pale) for sign in signs[number % 3]),
    ]


def bird(x: float, y: float, up: bool) -> Part:
    """A small bird, its wings up or down."""
    return Part(("bird", up), Depth.BEHIND, x, y, partial(_bird, up))


def _bird(up: bool) -> list[Fill]:
    blue, dark = Colour(92, 128, 168), Colour(64, 92, 128)
    wing = [(-12, -4), (10, -6), (-16, -34 if up else 16)]
    return [
        Fill([(-16, -2), (-38, -8), (-36, 4), (-14, 6)], dark),
        Fill(ellipse(0, 0, 22, 14, 0.1), blue, 10),
        Fill(ellipse(6, 6, 13, 7), Colour(240, 206, 170)),
        Fill(circle(18, -10, 11), blue),
        Fill([(28, -12), (38, -8), (28, -5)], Colour(232, 164, 72)),
        Fill(circle(21, -12, 2.5), Colour(40, 30, 30)),
        Fill(wing, dark),
    ]
