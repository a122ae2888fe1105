"""What the two play: each play is a chain of turns that ends as it began, so any may follow any."""

from collections.abc import Callable, Iterator

from firmware.cameras.family.script import Kind, Stage
from firmware.cameras.family.voices import Who

_BALL_THERE, _BALL_HERE = 566, 744
"""Where the ball lies by the adult, and by the child."""
_BLOCK = 846, 676
CHILD, ADULT = Who.CHILD, Who.ADULT


def with_the_ball(stage: Stage) -> None:
    """The child rolls the ball, the adult rolls it back."""
    child, adult, at = stage.child, stage.adult, stage.end
    child.look(at, "ball")
    child.lean.move(at + 0.2, 0.5, 24)
    child.near.move(at + 0.2, 0.5, 784, 604)
    child.look(at + 0.9, "other")
    child.feel(at + 0.9, 0.8, 0.6)
    spoken = stage.say(CHILD, at + 1.1, 1, 2)
    child.near.move(spoken, 0.25, 748, 600)
    rolled = stage.ball.move(spoken + 0.1, 1.3, _BALL_THERE, 636)
    at = stage.tell(CHILD, Kind.INITIATIVE, "looks up and rolls the ball", spoken + 0.35)
    adult.look(at, "ball")
    adult.feel(at, 0.9, 1.0)
    adult.lean.move(at, 0.6, 42)
    adult.near.move(at + 0.1, 0.6, 540, 596)
    adult.far.move(at + 0.15, 0.6, 590, 596)
    child.rest(at + 0.2)
    spoken = stage.say(ADULT, at + 0.45, 1, 2)
    at = stage.tell(ADULT, Kind.RECEPTION, "sees it and catches it", max(spoken, rolled) + 0.2)
    adult.look(at, "other")
    adult.feel(at + 0.2, 0.8, 0.3)
    spoken = stage.say(ADULT, at + 0.4, 3, 5)
    adult.near.move(spoken - 0.1, 0.3, 585, 590)
    rolled = stage.ball.move(spoken, 1.3, _BALL_HERE, 636)
    at = stage.tell(ADULT, Kind.TURN, "talks and rolls it back", spoken + 0.5)
    child.look(at - 0.3, "ball")
    child.feel(at, 1.0, 0.4)
    child.lean.move(at, 0.5, 24)
    child.near.move(at, 0.5, 790, 600)
    child.far.move(at + 0.1, 0.5, 776, 596)
    adult.rest(at)
    at = stage.tell(CHILD, Kind.RECEPTION, "watches it come and stops it", rolled + 0.4)
    child.look(at, "other")
    child.rest(at)
    spoken = stage.say(CHILD, at + 0.4, 2, 4)
    for beat in range(3):
        child.near.move(at + 0.7 + 0.4 * beat, 0.18, 806, 566)
        child.far.move(at + 0.7 + 0.4 * beat, 0.18, 790, 562)
        child.near.move(at + 0.9 + 0.4 * beat, 0.18, 830, 560)
        child.far.move(at + 0.9 + 0.4 * beat, 0.18, 778, 540)
    adult.feel(at + 0.3, 1.0, 0.3)
    at = stage.tell(CHILD, Kind.TURN, "laughs and claps", max(spoken, at + 1.9) + 0.2)
    child.rest(at)


def at_the_window(stage: Stage) -> None:
    """The child has seen a bird and points; the adult looks there too."""
    child, adult, at = stage.child, stage.adult, stage.end
    stage.bird.move(at - 0.4, 1.2, 726, 236)
    child.look(at + 0.1, "window")
    child.feel(at + 0.2, 0.4, 1.0)
    child.far.move(at + 0.5, 0.5, 752, 434)
    spoken = stage.say(CHILD, at + 0.9, 1, 3)
    at = stage.tell(CHILD, Kind.INITIATIVE, "points at the window", spoken + 0.4)
    adult.look(at + 0.1, "window")
    adult.feel(at + 0.2, 0.6, 1.0)
    at = stage.tell(ADULT, Kind.RECEPTION, "follows the child's gaze", at + 1.3)
    adult.far.move(at, 0.5, 600, 296)
    child.look(at + 0.6, "other")
    spoken = stage.say(ADULT, at + 0.3, 3, 5)
    adult.look(spoken - 0.2, "other")
    at = stage.tell(ADULT, Kind.TURN, "names what is there", spoken + 0.4)
    adult.rest(at)
    child.feel(at, 0.9, 0.2)
    child.far.move(at + 0.1, 0.5, 826, 590)
    at = stage.tell(CHILD, Kind.RECEPTION, "looks at the adult", at + 0.9)
    child.look(at, "window")
    stage.bird.move(at + 0.4, 1.2, 572, 158)
    spoken = stage.say(CHILD, at + 0.5, 1, 2)
    adult.look(at + 0.5, "window")
    child.look(spoken, "other")
    at = stage.tell(CHILD, Kind.TURN, "looks once more, and says so", spoken + 0.6)
    adult.look(at, "other")


def a_talk(stage: Stage) -> None:
    """The child babbles, the adult takes it up, and again."""
    child, adult, at = stage.child, stage.adult, stage.end
    child.look(at, "other")
    child.feel(at, 0.6, 0.5)
    spoken = stage.say(CHILD, at + 0.5, 2, 3)
    child.near.move(at + 0.4, 0.4, 800, 548)
    at = stage.tell(CHILD, Kind.INITIATIVE, "babbles to the adult", spoken + 0.3)
    adult.feel(at, 0.9, 0.8)
    adult.lean.move(at, 0.5, 30)
    child.rest(at)
    at = stage.tell(ADULT, Kind.RECEPTION, "leans in and waits", at + 0.9)
    spoken = stage.say(ADULT, at + 0.1, 2, 4)
    adult.near.move(at, 0.5, 530, 500)
    at = stage.tell(ADULT, Kind.TURN, "answers in the same tune", spoken + 0.3)
    child.feel(at, 1.0, 0.3)
    child.lean.move(at, 0.4, 12)
    at = stage.tell(CHILD, Kind.RECEPTION, "smiles", at + 0.8)
    spoken = stage.say(CHILD, at + 0.1, 2, 4)
    child.near.move(at, 0.3, 806, 560)
    child.far.move(at, 0.3, 786, 536)
    at = stage.tell(CHILD, Kind.TURN, "answers", spoken + 0.3)
    adult.feel(at, 1.0, 0.2)
    child.rest(at)
    spoken = stage.say(ADULT, at + 0.4, 1, 3)
    adult.rest(spoken)
    stage.tell(ADULT, Kind.RECEPTION, "smiles and says yes", spoken + 0.4)


def a_rest(stage: Stage) -> None:
    """The child looks away and has time; then it comes back by itself."""
    child, adult, at = stage.child, stage.adult, stage.end
    child.look(at, "away", 0.6)
    child.feel(at, 0.2)
    adult.feel(at + 0.4, 0.5)
    child.near.move(at + 0.8, 0.5, 862, 612)
    child.look(at + 1.6, "down", 0.6)
    child.near.move(at + 1.8, 0.5, 838, 596)
    long = at + stage.dice.uniform(3.2, 4.4)
    at = stage.tell(CHILD, Kind.PAUSE, "looks away, and the adult waits", long)
    child.look(at, "other")
    child.feel(at + 0.3, 0.8, 0.6)
    spoken = stage.say(CHILD, at + 0.7, 1, 1)
    at = stage.tell(CHILD, Kind.INITIATIVE, "looks back at the adult", spoken + 0.4)
    adult.feel(at, 1.0, 1.0)
    adult.lean.move(at, 0.5, 24)
    spoken = stage.say(ADULT, at + 0.3, 1, 2)
    at = stage.tell(ADULT, Kind.RECEPTION, "greets the child", spoken + 0.3)
    child.feel(at, 1.0, 0.2)
    spoken = stage.say(CHILD, at + 0.3, 1, 2)
    child.near.move(at + 0.2, 0.3, 806, 560)
    at = stage.tell(CHILD, Kind.TURN, "smiles and answers", spoken + 0.4)
    child.rest(at)
    adult.rest(at)


def with_a_block(stage: Stage) -> None:
    """The child holds out a block; the adult takes it, looks at it and gives it back."""
    child, adult, block, at = stage.child, stage.adult, stage.block, stage.end
    child.look(at, "down")
    child.lean.move(at, 0.5, 18)
    child.near.move(at + 0.1, 0.6, 848, 652)
    child.look(at + 0.8, "other")
    child.feel(at + 0.8, 0.7, 0.8)
    child.near.move(at + 0.9, 0.7, 738, 530)
    block.move(at + 0.9, 0.7, 698, 520)
    child.lean.move(at + 0.9, 0.6, 36)
    spoken = stage.say(CHILD, at + 1.3, 1, 2)
    at = stage.tell(CHILD, Kind.INITIATIVE, "holds out a block", spoken + 0.5)
    adult.look(at, "toy")
    adult.feel(at, 0.9, 1.0)
    adult.lean.move(at + 0.1, 0.6, 60)
    adult.near.move(at + 0.1, 0.7, 648, 524)
    adult.near.move(at + 1.1, 0.6, 572, 500)
    block.move(at + 1.1, 0.6, 622, 492)
    child.rest(at + 1.2)
    child.look(at + 1.2, "toy")
    at = stage.tell(ADULT, Kind.RECEPTION, "takes it", at + 1.9)
    adult.look(at + 0.8, "other")
    spoken = stage.say(ADULT, at + 0.2, 3, 5)
    adult.near.move(spoken, 0.6, 648, 524)
    block.move(spoken, 0.6, 698, 520)
    at = stage.tell(ADULT, Kind.TURN, "wonders at it and gives it back", spoken + 0.7)
    child.feel(at, 1.0, 0.4)
    child.lean.move(at, 0.5, 36)
    child.near.move(at, 0.5, 738, 530)
    child.near.move(at + 0.7, 0.7, 848, 652)
    block.move(at + 0.7, 0.7, *_BLOCK)
    child.lean.move(at + 0.7, 0.6, 18)
    adult.rest(at + 0.8)
    at = stage.tell(CHILD, Kind.RECEPTION, "takes it", at + 1.6)
    adult.look(at, "other")
    child.look(at, "other")
    child.rest(at)
    spoken = stage.say(CHILD, at + 0.4, 1, 3)
    stage.tell(CHILD, Kind.TURN, "is pleased and says so", spoken + 0.3)


def _breath(stage: Stage) -> None:
    """Between two plays: they look at each other, and nobody does anything."""
    at = stage.end
    for actor in (stage.child, stage.adult):
        actor.rest(at)
        actor.look(at, "other")
        actor.feel(at + 0.2, 0.6)
    until = at + stage.dice.uniform(1.0, 1.8)
    stage.tell(ADULT, Kind.PAUSE, "waits for what the child will do", until)


PLAYS: tuple[Callable[[Stage], None], ...] = (
    with_the_ball,
    at_the_window,
    a_talk,
    a_rest,
    with_a_block,
)


def played(stage: Stage) -> Iterator[None]:
    """One play after another, without end: each of them once, in any order, and again."""
    while True:
        for play in stage.dice.sample(PLAYS, len(PLAYS)):
            begin = stage.end
            _breath(stage)
            play(stage)
            for actor in (stage.child, stage.adult):
                at = begin + stage.dice.uniform(0.5, 2.5)
                while at < stage.end - 0.3:
                    actor.blink(at)
                    at += stage.dice.uniform(2.4, 5.0)
            yield
