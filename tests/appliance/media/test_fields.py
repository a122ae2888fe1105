"""What was filmed in two halves is seen at its full rate, and nothing that moves has a comb."""

import io
import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import pytest

from appliance.bench.odd.drawn import in_halves
from appliance.bench.odd.muxed import Heard, Pictures, made, steps
from appliance.media.fields import Fields
from tests.support import films
from tests.support.odd_films import Came, brought_in

WIDTH, HEIGHT = 256, 64
BLACK, WHITE = 16, 235
MOVES = 6
"""Pixels that the edge moves from one half to the next."""
INTERLACED = {"flags": "+ilme+ildct", "bf": "2", "g": "25"}


def edge(half: int) -> int:
    """How far from the left it is white in that half of a picture."""
    return 20 + MOVES * half % (WIDTH - 60)


def drawn(white: Callable[[int], int]) -> av.VideoFrame:
    """A picture that is white up to so many pixels in each line."""
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    line = frame.planes[0].line_size
    rows = (
        (bytes([WHITE]) * white(row) + bytes([BLACK]) * (WIDTH - white(row))).ljust(line, b"\0")
        for row in range(HEIGHT)
    )
    frame.planes[0].update(b"".join(rows))
    for plane in frame.planes[1:]:
        plane.update(bytes([128]) * plane.buffer_size)
    return frame


def camcorder(
    times: Sequence[float],
    *sounds: Heard,
    upper_first: bool = True,
    marked: bool = True,
    lasts: float = 1 / 25,
) -> bytes:
    """A moving edge, filmed in halves; `marked` says whether the film says so."""

    def woven(number: int) -> av.VideoFrame:
        frame = drawn(lambda row: edge(2 * number + ((row % 2 == 0) != upper_first)))
        return in_halves(frame, upper_first) if marked else frame

    encoder = INTERLACED if marked else {"bf": "2", "g": "25"}
    rate = Fraction(round(1 / lasts))
    return made(Pictures(times, "libx264", encoder, woven, lasts, rate), *sounds)


def lines_of(frame: av.VideoFrame) -> list[bytes]:
    (plane,) = frame.reformat(format="gray").planes
    data = bytes(plane)
    return [data[row * plane.line_size :][: frame.width] for row in range(frame.height)]


def comb(frame: av.VideoFrame) -> float:
    """How far, on average, a line is from what lies between the two beside it."""
    lines = lines_of(frame)
    off = [
        abs(2 * here - above - below) / 2
        for one, two, three in zip(lines, lines[1:], lines[2:], strict=False)
        for above, here, below in zip(one, two, three, strict=True)
    ]
    return sum(off) / len(off)


def seen(film: bytes | bytearray) -> list[tuple[float, av.VideoFrame]]:
    with av.open(io.BytesIO(bytes(film)), "r") as opened:
        return [(float(frame.time or 0), frame) for frame in opened.decode(video=0)]


def edges(came: Came) -> list[int]:
    """How far it is white in each picture, in the middle."""
    return [sum(one > 128 for one in lines_of(frame)[HEIGHT // 2]) for _, frame in seen(came.film)]


@pytest.mark.parametrize("upper_first", [True, False], ids=["upper first", "lower first"])
def test_of_what_was_filmed_in_halves_both_are_seen_each_at_its_time(upper_first: bool) -> None:
    film = camcorder(steps(0, 3, 25), upper_first=upper_first)
    assert comb(seen(film)[40][1]) > 3
    came = brought_in(film)
    found = seen(came.film)
    assert len(found) == 150
    for number, (at, frame) in enumerate(found):
        assert at == pytest.approx(number / 50, abs=1 / 100)
        assert not frame.interlaced_frame
    assert max(comb(frame) for _, frame in found) < 1
    # The edge is where it was at each moment, and not where it had been or would be.
    assert edges(came) == pytest.approx([edge(number) for number in range(150)], abs=2)
    assert came.notes == []


def test_what_was_not_filmed_in_halves_is_left_as_it_is() -> None:
    film = camcorder(steps(0, 2, 25), marked=False)
    came = brought_in(film)
    assert len(seen(came.film)) == 50
    assert max(comb(frame) for _, frame in seen(came.film)) > 3, "nothing was smoothed"


def test_where_the_picture_stands_its_second_half_is_seen_at_once_and_not_halfway() -> None:
    times = [*steps(0, 1, 25), *steps(6, 7, 25)]
    film = camcorder(times, Heard(0, 7))
    came = brought_in(film)
    found = edges(came)
    changes = [
        at
        for (at, _), before, after in zip(seen(came.film)[1:], found, found[1:], strict=False)
        if abs(after - before) > 3
    ]
    wanted = [at + half for at in times for half in (0, 1 / 50)][1:]
    assert changes == pytest.approx(wanted, abs=1 / 100)
    assert came.times[-1] == pytest.approx(7, abs=0.05)
    gaps = [b - a for a, b in itertools.pairwise(came.times)]
    assert max(gaps) < 1.1, "what stands is shown again"
    assert [one for one in came.loud() if one > 0.5] == pytest.approx(range(1, 7), abs=0.02)


def test_at_sixty_pictures_in_halves_a_second_no_more_than_the_most_are_kept() -> None:
    film = camcorder(steps(0, 2, 50), lasts=1 / 50)
    times = came_times(film)
    assert 98 <= len(times) <= 131
    assert min(b - a for a, b in itertools.pairwise(times)) > 1 / 66


def came_times(film: bytes) -> list[float]:
    return [at for at, _ in seen(brought_in(film).film)]


def test_a_film_that_becomes_so_midway_has_every_picture_in_order() -> None:
    fields = Fields()
    plain = drawn(lambda row: 50)
    given = [at for _, at in fields.of(plain, Fraction(0))]
    (first, second) = (frame for _, frame in seen(camcorder(steps(0, 0.08, 25))))
    assert first.interlaced_frame
    given += [at for _, at in fields.of(first, Fraction(1, 25))]
    assert fields.waits
    given += [at for _, at in fields.of(second, Fraction(2, 25))]
    given += [at for _, at in fields.of(drawn(lambda row: 50), Fraction(3, 25))]
    # Another size begins anew, and what waits is not lost.
    other = films.numbered(1).reformat(128, 32)
    given += [at for _, at in fields.of(other, Fraction(4, 25))]
    assert not fields.waits
    assert given == [Fraction(one, 50) for one in (0, 2, 3, 4, 5, 6, 8)]
    assert list(fields.rest()) == []
