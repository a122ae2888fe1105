"""The scene that is drawn: its script is true of its pictures and of its sound, and all of it is
the same each time."""

from array import array
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import islice, pairwise, takewhile

import pytest

from firmware.camera import SAMPLE_RATE, TICKS
from firmware.cameras.family.brush import HIGH, WIDE, Canvas, Colour, Easel, Fill, Frame, Sprite
from firmware.cameras.family.cast import Cast
from firmware.cameras.family.figures import Depth
from firmware.cameras.family.plays import PLAYS, played
from firmware.cameras.family.scene import FamilyScene
from firmware.cameras.family.script import Kind, Moment, Stage
from firmware.cameras.family.voices import Who
from firmware.cameras.scene import Take

RATES = (24, 25, 30)
SEEDS = (1, 2)
LOUD, HUSH = 1000, 10
"""Samples: what a voice reaches at least, and what a room in which nobody speaks has at most."""
CHILD_FROM = 280
"""Beats a second of a voice: those of the child are above, the adult's below."""


def moments(seed: int, seconds: int = 180) -> list[Moment]:
    scene = FamilyScene(32, 18, 25, seed)
    return list(takewhile(lambda one: one.start < seconds * TICKS, scene.moments()))


def looks(take: Take) -> tuple[bytes, ...]:
    return tuple(bytes(plane) for plane in take.frame.planes)


def first(scene: FamilyScene, pictures: int) -> list[Take]:
    return list(islice(scene.takes(), pictures))


@cache
def filmed() -> tuple[list[Take], list[Moment]]:
    """Most of a minute, in which everything is played once."""
    scene = FamilyScene(160, 90, 25, seed=1)
    script = list(takewhile(lambda one: one.end <= 56 * TICKS, scene.moments()))
    return first(scene, script[-1].pictures(scene.rate).stop), script


def test_the_same_seed_gives_the_same_pictures_and_sound() -> None:
    scene, other = (FamilyScene(96, 54, 25, seed=4) for _ in range(2))
    seen = [(looks(take), take.sound, take.time, take.duration) for take in first(scene, 150)]
    # Looked at again, with all that was kept; and by another that has kept nothing.
    for again in (scene, other):
        for before, take in zip(seen, first(again, 150), strict=True):
            assert before == (looks(take), take.sound, take.time, take.duration)
    assert list(islice(scene.moments(), 50)) == list(islice(other.moments(), 50))


def test_another_seed_gives_other_people_another_play_and_other_voices() -> None:
    one, other = ([*first(FamilyScene(96, 54, 25, seed), 100)] for seed in (4, 5))
    assert all(looks(a) != looks(b) for a, b in zip(one, other, strict=True))
    assert b"".join(a.sound for a in one) != b"".join(b.sound for b in other)
    assert moments(4) != moments(5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_script_is_a_chain_of_turns_without_a_gap(seed: int) -> None:
    script = moments(seed)
    assert script[0].start == 0
    assert all(one.end == after.start for one, after in pairwise(script))
    assert all(0.3 * TICKS < one.end - one.start < 6 * TICKS for one in script)
    assert {one.kind for one in script} == set(Kind)
    for one, after in pairwise(script):
        if one.kind is Kind.INITIATIVE:
            assert (one.who, after.who, after.kind) == (Who.CHILD, Who.ADULT, Kind.RECEPTION)
        if one.kind is Kind.TURN and after.kind is not Kind.PAUSE:
            assert after.kind is Kind.RECEPTION and after.who is not one.who
        if one.kind is Kind.PAUSE:
            assert after.kind in (Kind.PAUSE, Kind.INITIATIVE) and not one.speaks


def test_each_play_comes_before_any_comes_again() -> None:
    stage = Stage(1)
    for _ in islice(played(stage), 2 * len(PLAYS)):
        pass
    begins = [one.what for one in stage.moments if one.kind is Kind.INITIATIVE]
    count = len(PLAYS)
    assert len(begins) == 2 * count
    assert set(begins[:count]) == set(begins[count:]) and len(set(begins)) == count


@pytest.mark.parametrize("rate", RATES)
def test_times_are_exact_and_the_sound_has_no_gap(rate: int) -> None:
    at = heard = 0
    for number, take in enumerate(first(FamilyScene(32, 18, rate), 10 * rate)):
        assert take.time == at == round(number * Fraction(TICKS, rate))
        at += take.duration
        heard += len(take.sound) // 2
        assert heard == at * SAMPLE_RATE // TICKS
    assert at == 10 * TICKS


def test_the_sound_is_the_same_however_many_pictures_there_are() -> None:
    one, *others = (
        b"".join(take.sound for take in first(FamilyScene(32, 18, rate), 6 * rate))
        for rate in RATES
    )
    assert [other == one for other in others] == [True, True]


@pytest.mark.parametrize("rate", RATES)
def test_each_picture_belongs_to_one_moment(rate: int) -> None:
    script = moments(1)
    pictures = [one.pictures(Fraction(rate)) for one in script]
    assert pictures[0].start == 0
    assert all(a.stop == b.start and len(a) > 0 for a, b in pairwise(pictures))
    for one, numbers in zip(script, pictures, strict=True):
        times = [Fraction(number * TICKS, rate) for number in numbers]
        assert one.start <= times[0] and times[-1] < one.end


def samples(takes: list[Take], one: Moment) -> "array[int]":
    """What is heard in a moment."""
    heard = array("h", b"".join(take.sound for take in takes))
    return heard[one.start * SAMPLE_RATE // TICKS : one.end * SAMPLE_RATE // TICKS]


def beats(heard: "array[int]") -> float:
    """Beats a second of a voice where it is loudest, as the sound repeats itself then."""
    step = 6
    loudest = max(range(len(heard)), key=lambda n: abs(heard[n]))
    start = max(min(loudest, len(heard) - 2400), 0)
    part = heard[start : start + 2400 : step]
    lags = range(SAMPLE_RATE // step // 520, SAMPLE_RATE // step // 140)
    length = len(part) - lags[-1]
    like = {
        lag: sum(part[n] * part[n + lag] for n in range(length))
        / (sum(part[n + lag] ** 2 for n in range(length)) or 1) ** 0.5
        for lag in lags
    }
    # Two beats are like one another as well: the shortest that is nearly the best.
    best = max(like.values())
    peak = next(
        lag
        for lag in lags[1:-1]
        if like[lag] > 0.9 * best and like[lag - 1] <= like[lag] >= like[lag + 1]
    )
    return SAMPLE_RATE / step / peak


def test_who_speaks_in_a_moment_is_whose_moment_it_is() -> None:
    takes, script = filmed()
    for one in script:
        heard = samples(takes, one)
        assert (max(map(abs, heard)) > LOUD) is one.speaks, one
        if one.speaks:
            assert (beats(heard) > CHILD_FROM) is (one.who is Who.CHILD), one
        else:
            assert max(map(abs, heard)) <= HUSH, one
    spoken = Counter((one.who, one.speaks) for one in script)
    assert min(spoken[who, True] for who in Who) > 3


def test_between_two_turns_there_is_silence_and_the_loudest_is_not_cut_off() -> None:
    takes, script = filmed()
    for one in script:
        heard = samples(takes, one)
        # Nobody speaks into the other's turn: each begins and ends in silence.
        assert max(map(abs, heard[:400])) <= HUSH and max(map(abs, heard[-1200:])) <= HUSH, one
        assert max(map(abs, heard)) < 16_000


def half(take: Take, who: Who) -> bytes:
    """How bright the pictures are where one of the two sits: neither reaches the other there."""
    plane = take.frame.planes[0]
    data, line, wide = bytes(plane), plane.line_size, plane.width
    columns = slice(0, wide * 3 // 8) if who is Who.ADULT else slice(wide * 9 // 16, wide)
    return b"".join(
        data[row * line + columns.start : row * line + columns.stop] for row in range(plane.height)
    )


def test_what_a_moment_is_about_is_seen() -> None:
    takes, script = filmed()
    changes = {who: [a != b for a, b in pairwise(half(take, who) for take in takes)] for who in Who}
    seen = {one: {who: sum(changes[who][slice(*_ends(one))]) for who in Who} for one in script}
    for one, moved in seen.items():
        if one.kind is not Kind.PAUSE:
            assert moved[one.who] >= 3, one
    # At the child's initiatives it is the child who moves, at the adult's turns the adult.
    for who, kind in ((Who.CHILD, Kind.INITIATIVE), (Who.ADULT, Kind.TURN)):
        here = [moved for one, moved in seen.items() if (one.who, one.kind) == (who, kind)]
        assert here and sum(m[who] for m in here) > 2 * sum(
            m[other] for m in here for other in Who if other is not who
        )


def _ends(one: Moment) -> tuple[int, int]:
    pictures = one.pictures(Fraction(25))
    return pictures.start, pictures.stop - 1


def drawn(seconds: int, seed: int = 1) -> Iterator[tuple[float, Stage]]:
    """A script, at each twenty-fifth of a second."""
    stage = Stage(seed)
    plays = played(stage)
    for number in range(25 * seconds):
        while stage.end < number / 25 + 2:
            next(plays)
        yield number / 25, stage


def test_a_mouth_is_open_only_while_its_voice_is_heard() -> None:
    cast = Cast(1)
    silent: dict[Who, set[object]] = {who: set() for who in Who}
    speaking: dict[Who, set[object]] = {who: set() for who in Who}
    for second, stage in drawn(40):
        mouths = [part for part in cast.parts(stage, second) if part.depth is Depth.MOUTH]
        heard = {said.syllable.who for said in stage.heard(second, second + 0.001)}
        for who in Who:
            (mouth,) = (m for m in mouths if (m.x < 640) is (who is Who.ADULT))
            form = mouth.form[2]
            (speaking if who in heard else silent)[who].add(form.mouth)
    assert silent == {who: {0.0} for who in Who}
    assert all(len(speaking[who]) > 2 for who in Who)


def test_a_picture_shows_nothing_of_those_before_it() -> None:
    frame, cast, known = Frame(160, 90), Cast(1), dict[tuple[object, ...], Sprite]()
    place = Canvas(frame)
    Sprite(frame, cast.room(), everywhere=True).put(place)
    easel = Easel(place)
    for second, stage in drawn(8):
        parts = cast.parts(stage, second)
        for part in parts:
            if part.form not in known:
                known[part.form] = Sprite(frame, part.fills())
        sprites = [(known[part.form], part.x, part.y) for part in parts]
        after_others, alone = (one.picture(sprites) for one in (easel, Easel(place)))
        for one, other in zip(after_others.planes, alone.planes, strict=True):
            assert bytes(one) == bytes(other), second


def test_nothing_that_moves_leaves_the_drawing() -> None:
    for seed in SEEDS:
        cast, known = Cast(seed), set[object]()
        for second, stage in drawn(60, seed):
            for part in cast.parts(stage, second):
                if (place := (part.form, round(part.x), round(part.y))) in known:
                    continue
                known.add(place)
                for fill in part.fills():
                    for x, y in fill.corners:
                        assert 4 < part.x + x < WIDE - 4 and 4 < part.y + y < HIGH - 2, part


@pytest.mark.parametrize(
    "size", [(1920, 1080), (1280, 720), (640, 480), (322, 180), (160, 96), (90, 160), (48, 32)]
)
def test_pictures_of_any_size_are_filled_to_their_corners(size: tuple[int, int]) -> None:
    scene = FamilyScene(*size, 25)
    (take,) = islice(scene.takes(), 20, 21)
    assert (take.frame.width, take.frame.height) == size
    plane = take.frame.planes[0]
    data, line = bytes(plane), plane.line_size
    rows = [data[n * line : n * line + plane.width] for n in range(plane.height)]
    assert all(16 <= value <= 235 for row in (rows[0], rows[-1]) for value in row)
    assert all(min(row[0], row[-1]) > 16 for row in rows)


def test_what_is_painted_is_as_bright_and_as_far_as_it_says() -> None:
    frame = Frame(WIDE, HIGH)
    canvas = Canvas(frame)
    white, half_grey = Colour(255, 255, 255), Colour(128, 128, 128)
    box = [(100, 100), (200, 100), (200, 150.5), (100, 150.5)]
    inner = [(150, 0), (400, 0), (400, 400), (150, 400)]
    Sprite(frame, [Fill(box, white), Fill(box, half_grey, within=inner)]).put(canvas, 10, 20)
    at = [canvas.bright[row * frame.line + 110] for row in (119, 120, 169, 170, 171)]
    # The half row is half as bright: below it is nothing.
    assert at == [0, 235, 235, 118, 0]
    grey = round(16 + 219 * 128 / 255)
    row = canvas.bright[130 * frame.line : 131 * frame.line]
    assert [row[x] for x in (109, 110, 159, 160, 209, 210)] == [0, 235, 235, grey, grey, 0]
    assert canvas.blue[65 * frame.colour_line + 60] == 128
