"""Who the two are, what they wear, and how they look at each moment of the script."""

import random

from firmware.cameras.family.brush import Colour, Fill
from firmware.cameras.family.figures import Body, Figure, Part, Pose, ball, bird, block
from firmware.cameras.family.heads import Build, Face
from firmware.cameras.family.room import room
from firmware.cameras.family.script import Actor, Stage
from firmware.cameras.family.voices import Who

_SKINS = (
    (Colour(160, 106, 78), Colour(44, 32, 32)),
    (Colour(206, 150, 116), Colour(66, 44, 38)),
    (Colour(232, 186, 154), Colour(112, 74, 50)),
    (Colour(122, 80, 60), Colour(36, 28, 28)),
)
"""Of skin and hair."""
_CLOTHES = (
    (Colour(152, 120, 150), Colour(112, 152, 186), Colour(224, 178, 148)),
    (Colour(196, 124, 102), Colour(122, 164, 150), Colour(216, 188, 130)),
    (Colour(122, 140, 98), Colour(216, 140, 116), Colour(158, 182, 190)),
    (Colour(86, 138, 148), Colour(232, 180, 84), Colour(222, 170, 140)),
)
"""What the adult wears, the child, and of what the curtains are."""
_STYLES = "bun", "bob", "curls"
_IRIS = Colour(92, 60, 42)
_TROUSERS = Colour(72, 78, 104), Colour(112, 140, 168)
_SOCKS = Colour(238, 230, 216)
_BALL = Colour(214, 102, 84)
_BLOCKS = Colour(224, 168, 72), Colour(110, 150, 120), Colour(120, 132, 180), Colour(206, 122, 96)
_TOWER = ((0, 992, 674), (1, 1052, 676), (2, 1020, 622))
"""Blocks that lie where they are: number and place."""


class Cast:
    """The two in their room, as a seed would have them."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(f"cast {seed}")  # noqa: S311 - clothes, no secret
        skin, hair = dice.choice(_SKINS)
        coat, shirt, self._cloth = dice.choice(_CLOTHES)
        style = dice.choice(_STYLES)
        lighter = skin.mixed(Colour(255, 226, 200), 0.16)
        browner = hair.mixed(Colour(150, 100, 70), 0.22)
        self._figures = {
            Who.ADULT: Figure(
                Body(
                    head=Build(84, skin, hair, _IRIS, style, 0.58, 0.98, 0.155, 20, 2, 46),
                    facing=1,
                    hip=(336, 594),
                    hip_radius=84,
                    shoulder=(14, -206),
                    shoulder_radius=60,
                    neck=(18, -128),
                    upper=130,
                    lower=126,
                    arm=(33, 27, 20),
                    hand=25,
                    top=coat,
                    trousers=_TROUSERS[0],
                    socks=_SOCKS,
                    legs=(
                        ((348, 606), 62), ((476, 622), 44), ((364, 664), 30), ((294, 668), 20),
                    ),
                )
            ),
            Who.CHILD: Figure(
                Body(
                    head=Build(80, lighter, browner, _IRIS, "locks", 0.64, 0.86, 0.175, 23, 10, 64),
                    facing=-1,
                    hip=(904, 624),
                    hip_radius=58,
                    shoulder=(-6, -120),
                    shoulder_radius=40,
                    neck=(-6, -92),
                    upper=68,
                    lower=62,
                    arm=(24, 20, 15),
                    hand=19,
                    top=shirt,
                    trousers=_TROUSERS[1],
                    socks=_SOCKS,
                    legs=(
                        ((894, 636), 38), ((834, 644), 31), ((802, 668), 22), ((786, 654), 16),
                    ),
                )
            ),
        }  # fmt: skip

    def room(self) -> list[Fill]:
        """What stands still."""
        tower = [
            fill.moved(x, y)
            for number, x, y in _TOWER
            for fill in block(number, 0, 0, _BLOCKS[number]).fills()
        ]
        return [*room(self._cloth), *tower]

    def parts(self, stage: Stage, second: float) -> list[Part]:
        """What moves, as it is at that second, in the order in which it is painted."""
        parts = [
            ball(*stage.ball.place(second), _BALL),
            block(3, *stage.block.place(second), _BLOCKS[3]),
            bird(*stage.bird.place(second), up=_flies(stage, second)),
        ]
        for who, figure in self._figures.items():
            parts += figure.parts(_pose(stage, stage.actor(who), second))
        return sorted(parts, key=lambda part: part.depth)


def _flies(stage: Stage, second: float) -> bool:
    """Whether the bird's wings are up."""
    moves = stage.bird.at(second) != stage.bird.at(second + 0.04)
    return moves and int(second * 8) % 2 == 0


def _pose(stage: Stage, actor: Actor, second: float) -> Pose:
    turn, nod, tilt = actor.head.at(second)
    look_x, look_y = actor.eyes.at(second)
    smile, brows = actor.mood.at(second)
    opened = rounded = 0.0
    for start, syllable in stage.heard(second, second + 0.001):
        if syllable.who is actor.who:
            opened, rounded = syllable.opened(second - start), syllable.round
    face = Face(
        turn=turn,
        nod=nod,
        tilt=tilt,
        look_x=look_x,
        look_y=look_y,
        lids=actor.lids.at(second)[0],
        mouth=opened,
        round=rounded,
        smile=smile,
        brows=brows,
    )
    (lean,) = actor.lean.at(second)
    return Pose(face, lean, actor.near.place(second), actor.far.place(second))
