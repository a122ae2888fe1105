"""Stills, filmstrip and sound peaks, of films like ours and of somebody else's."""

import gc
import io
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import pytest

from appliance.errors import BadFile, BadInput, KitError
from appliance.media.footage import opened
from appliance.media.stills import filmstrip, peaks, still
from appliance.media.wire import Source
from tests.support import films

FRAMES = 300


@pytest.fixture(scope="module", params=films.SOURCES)
def source(request: pytest.FixtureRequest) -> bytes:
    return films.film(FRAMES, **films.SOURCES[request.param])


@pytest.fixture(scope="module")
def ours() -> bytes:
    return films.film(FRAMES, **films.SOURCES["ours"])


def seen(jpeg: bytes) -> av.VideoFrame:
    with av.open(io.BytesIO(jpeg), "r") as picture:
        (frame,) = picture.decode(video=0)
        return frame


def turned(film: bytes, right: int, down: int) -> bytes:
    """The film with a head that says where a step to the right is to go."""
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = film.index(upright, film.index(b"tkhd"))
    steps = (right << 16, down << 16, 0, -down << 16, right << 16, 0, 0, 0, 1 << 30)
    return film[:at] + struct.pack(">9i", *steps) + film[at + 36 :]


def test_a_still_is_the_frame_that_is_seen(source: bytes) -> None:
    times = films.frame_times(source)
    for number in (0, 1, 41, 150, FRAMES - 1):
        for at in (times[number], (times[number] + times[number + 1]) / 2):
            out = io.BytesIO()
            assert still(io.BytesIO(source), at, out) == times[number]
            frame = seen(out.getvalue())
            assert films.number_in(frame) == number
            assert (frame.width, frame.height) == (films.WIDTH, films.HEIGHT)
            assert b"Lav" not in out.getvalue()


def test_a_still_from_outside_the_film_is_refused(ours: bytes) -> None:
    for at in (-1, 10, 99):
        with pytest.raises(BadInput):
            still(io.BytesIO(ours), at, io.BytesIO())


def test_a_still_of_a_turned_film_is_upright() -> None:
    film = films.film(30, **films.PLAIN)
    pictures = {}
    for right, down in ((1, 0), (0, 1), (-1, 0), (0, -1)):
        out = io.BytesIO()
        still(io.BytesIO(turned(film, right, down)), Fraction(21, 30), out)
        frame = seen(out.getvalue()).reformat(format="gray")
        line = frame.planes[0].line_size
        rows = [bytes(frame.planes[0])[n * line :][: frame.width] for n in range(frame.height)]
        pictures[right, down] = [[point > 128 for point in row] for row in rows]
    # Number 21 is on top, its last bit at the right.
    assert pictures[1, 0][16][-8]
    assert (len(pictures[0, 1]), len(pictures[0, 1][0])) == (films.WIDTH, films.HEIGHT)
    assert pictures[0, 1][-8][-16], "turned to the right the number ends at the bottom right"
    assert pictures[-1, 0][-16][7], "on its head it ends at the bottom left"
    assert pictures[0, -1][7][16], "turned to the left it ends at the top left"


def test_what_a_picture_took_is_free_as_soon_as_it_was_made(source: bytes) -> None:
    gc.collect()
    gc.disable()
    try:
        still(io.BytesIO(source), 5, io.BytesIO())
        list(filmstrip(io.BytesIO(source), 3, 90))
        left = [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)]
    finally:
        gc.enable()
    assert not left, "a frame of a camera is four megabytes, and Python looks for circles seldom"


def test_a_filmstrip_shows_key_frames_evenly(source: bytes) -> None:
    times = films.frame_times(source)
    strip = list(filmstrip(io.BytesIO(source), 12, 32))
    assert len(strip) == 12
    for number, (moment, jpeg) in enumerate(strip):
        frame = seen(jpeg)
        assert times[films.number_in(frame.reformat(films.WIDTH, films.HEIGHT))] == moment
        assert frame.height == 32
        # A file may say that it is longer than its picture by a block of sound, or begins later.
        assert moment <= (number + Fraction(1, 2)) * (times[-1] + Fraction(1, 15)) / 12
    assert [moment for moment, _ in strip] == sorted(moment for moment, _ in strip)


def test_a_filmstrip_of_our_film_is_never_a_second_off(ours: bytes) -> None:
    strip = list(filmstrip(io.BytesIO(ours), 20, 32))
    assert [moment for moment, _ in strip] == [n // 2 for n in range(20)]


@pytest.mark.parametrize("kind", [k for k, v in films.SOURCES.items() if "sound" in v])
def test_peaks_rise_where_the_sound_does(kind: str) -> None:
    film = films.film(FRAMES, **films.SOURCES[kind])
    found = list(peaks(io.BytesIO(film), 50))
    assert len(found) == 50
    with opened(io.BytesIO(film)) as footage:
        length = float(footage.length)
    # A beep in the first tenth of each second; a part is about a fifth of one.
    begins = float(films.frame_times(film)[0])
    for number, loud in enumerate(found[:48]):
        at = number * length / 50 - begins
        to_beep = -at % 1
        if at % 1 < 0.08 or to_beep < length / 50 - 0.02:
            assert loud == pytest.approx(0.5, abs=0.1)
        elif at % 1 > 0.12 and to_beep > length / 50 + 0.02:
            assert loud < 0.1


def test_peaks_can_be_finer_than_a_block_of_sound(ours: bytes) -> None:
    found = list(peaks(io.BytesIO(ours), 2000))
    assert len(found) == 2000
    # 5 ms each: nowhere else than in the first tenth of a second, give or take an encoder's smear.
    assert [n for n, loud in enumerate(found) if loud > 0.3] == [
        n for n in range(2000) if found[n] > 0.3 and n % 200 <= 21
    ]
    assert sum(loud > 0.3 for loud in found) == pytest.approx(200, abs=20)


def test_a_film_without_sound_has_no_peaks() -> None:
    assert not list(peaks(io.BytesIO(films.film(30)), 10))


def test_sound_that_ends_early_is_followed_by_silence() -> None:
    film = films.film(90, sound=lambda n: 0.4 if n < films.RATE and n // 24 % 2 else 0.0)
    found = list(peaks(io.BytesIO(film), 9))
    assert min(found[:3]) > 0.3
    assert max(found[4:]) < 0.01


LOOKS: dict[str, Callable[[Source], Iterator[object]]] = {
    "filmstrip": lambda source: filmstrip(source, 8, 32),
    "peaks": lambda source: peaks(source, 8),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_who_asks_no_more_closes_the_film(
    look: Callable[[Source], Iterator[object]], ours: bytes
) -> None:
    class Counted(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            return super().read(size)

    film = Counted(ours)
    pictures = look(film)
    next(pictures)
    pictures.close()  # type: ignore[attr-defined]
    before = film.reads
    assert next(pictures, None) is None
    assert film.reads == before


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_what_is_no_film_or_is_closed_meanwhile_is_told(
    look: Callable[[Source], Iterator[object]], ours: bytes
) -> None:
    class Withdrawn(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > len(ours) // 2:
                raise KitError("closed meanwhile")
            # A little at a time, however much is asked for.
            return super().read(1000)

    with pytest.raises(KitError, match="closed meanwhile"):
        list(look(Withdrawn(ours)))
    with pytest.raises(KitError, match="closed meanwhile"):
        still(Withdrawn(ours), 9, io.BytesIO())
    for data in (b"", b"not a film" * 1000):
        with pytest.raises(BadFile):
            list(look(io.BytesIO(data)))
        with pytest.raises(BadFile):
            still(io.BytesIO(data), 0, io.BytesIO())
