"""Films of any make, opened: their own ticks, their key frames, and marks that lie in them."""

import io
from fractions import Fraction

import av
import pytest

from appliance.bench.odd.films import FILMS
from appliance.errors import BadInput
from appliance.media.cutting import cut
from appliance.media.footage import opened
from appliance.media.stills import still
from tests.support import films

FRAME = Fraction(1, 30)


@pytest.fixture(scope="module")
def film() -> bytes:
    return films.film(75)


def test_a_film_says_how_long_it_is_and_how_fast(film: bytes) -> None:
    with opened(io.BytesIO(film)) as footage:
        assert (footage.length, footage.rate, footage.aspect) == (75 * FRAME, 30, 1)
        assert footage.sound is None


@pytest.mark.parametrize("name", ["pasp-only.mp4", "display-only.mkv", "sar-in-sps.mp4"])
def test_a_picture_keeps_its_shape_wherever_it_is_stated(name: str) -> None:
    """In a still, whose pixels are square, and in a clip, which says so itself."""
    film = FILMS[name].make()
    with opened(io.BytesIO(film)) as footage:
        assert footage.aspect == Fraction(64, 45)
    picture, clip = io.BytesIO(), io.BytesIO()
    still(io.BytesIO(film), 1, picture)
    cut(io.BytesIO(film), Fraction(1, 2), Fraction(3, 2), clip)
    with av.open(io.BytesIO(picture.getvalue()), "r") as shown:
        assert (shown.streams.video[0].width, shown.streams.video[0].height) == (1024, 576)
    with av.open(io.BytesIO(clip.getvalue()), "r") as shown:
        assert shown.streams.video[0].sample_aspect_ratio == Fraction(64, 45)


def test_a_tenth_as_a_float_is_a_tenth_on_the_films_own_clock(film: bytes) -> None:
    with opened(io.BytesIO(film)) as footage:
        assert footage.on_ticks(0.1) == Fraction(1, 10) != Fraction(0.1)


@pytest.mark.parametrize(
    ("at", "expected"), [(0, 0), (Fraction(29, 30), 0), (1, 1), (Fraction(3, 2), 1), (2, 2)]
)
@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_the_key_frame_of_a_moment_is_the_last_one_before_it(
    container: str, at: Fraction, expected: int
) -> None:
    made = films.film(75, container=container, options={})
    with opened(io.BytesIO(made)) as footage:
        began = footage.picture.start_time or 0
        found = footage.key_frame(Fraction(at) + began * footage.base)
        assert found is not None and found.is_keyframe
        assert (found.pts - began) * footage.base == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize(
    ("start", "end"), [(2, 1), (1, 1), (-FRAME, 1), (75 * FRAME, None), (0, 77 * FRAME)]
)
def test_marks_out_of_order_or_outside_the_film_are_refused(
    film: bytes, start: Fraction, end: Fraction | None
) -> None:
    with opened(io.BytesIO(film)) as footage:
        footage.check(Fraction(0), 76 * FRAME)  # Rounded up, by no more than a frame.
        with pytest.raises(BadInput):
            footage.check(Fraction(start), end)
