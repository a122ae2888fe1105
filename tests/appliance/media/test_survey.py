"""What a film is: everything from the first to the last of its picture and its sound."""

import io
import itertools
import tracemalloc
from collections.abc import Callable, Sequence

import av
import pytest

from appliance.errors import BadFile
from appliance.media.wire import FilmNote, FilmRefusal
from tests.support import films
from tests.support.odd_films import (
    LIVE,
    Came,
    Heard,
    Pictures,
    brought_in,
    made,
    sized,
    without_first,
)

HALF_A_PICTURE, IN_TIME = 1 / 60, 0.02
EVERYWHERE = ("mp4", "mov", "matroska", "webm")


def at(begin: float, end: float) -> list[float]:
    return [begin + number / 30 for number in range(round((end - begin) * 30))]


def told(came: Came, pictures: Sequence[float], begin: float, end: float) -> None:
    """Each picture and each beep is where it was, and nothing is missing to the end."""
    seen = came.pictures
    assert sorted(seen) == list(range(len(pictures)))
    first = 0.0 if pictures[0] - begin > 0 else pictures[0] - begin
    wanted = [first, *(one - begin for one in pictures[1:])]
    assert [seen[n] for n in range(len(pictures))] == pytest.approx(wanted, abs=HALF_A_PICTURE)
    times = came.times
    assert times[0] == 0 and times[-1] == pytest.approx(end - begin, abs=0.05)
    assert max(b - a for a, b in itertools.pairwise(times)) < 1.1, "what stands is shown again"


@pytest.mark.parametrize("container", EVERYWHERE)
@pytest.mark.parametrize(
    ("pictures", "sound"),
    [
        (at(0, 3), (0, 8)),
        (at(3, 6), (0, 6)),
        (at(2, 4), (0, 7)),
        ([*at(0, 2), *at(5, 7)], (0, 7)),
        ([*at(0, 2), 6.0], (0, 6)),
        ([0.0, 5.0], (0, 8)),
        (at(0, 7), (2, 5)),
    ],
    ids=["the camera goes off", "comes late", "is on for a while", "freezes", "ends with one more",
         "a shared page", "the sound is short"],
)  # fmt: skip
def test_a_film_lasts_from_the_first_to_the_last_of_picture_and_sound(
    container: str, pictures: Sequence[float], sound: tuple[int, int]
) -> None:
    came = brought_in(made(pictures, Heard(*sound), container=container))
    begin, end = min(pictures[0], sound[0]), max(pictures[-1] + 1 / 30, sound[1])
    told(came, pictures, begin, end)
    # Of what is heard at the very beginning 21 ms are left out.
    beeps = [one - begin for one in range(sound[0] + 1, sound[1])]
    heard = [one for one in came.loud() if one > sound[0] - begin + 0.5]
    assert heard == pytest.approx(beeps, abs=IN_TIME)
    assert came.notes == []


@pytest.mark.parametrize("container", ["matroska", "webm"])
@pytest.mark.parametrize("pictures", [at(0, 3), at(2, 6)], ids=["goes off", "comes late"])
def test_so_does_one_that_does_not_say_how_long_it_is(
    container: str, pictures: Sequence[float]
) -> None:
    came = brought_in(made(pictures, Heard(0, 6), container=container, options=LIVE))
    told(came, pictures, 0, 6)
    assert came.notes == []


@pytest.mark.parametrize("container", ["mp4", "matroska", "webm"])
def test_a_picture_without_sound_that_stands_lasts_as_long_as_it_says(container: str) -> None:
    pictures = [*at(0, 1), 4.0]
    came = brought_in(made(pictures, container=container))
    told(came, pictures, 0, 4 + 1 / 30)


def test_a_last_picture_that_is_shown_for_long_is_shown_for_as_long() -> None:
    told(
        brought_in(made(Pictures(at(0, 2), lasts=4), container="mp4")), at(0, 2), 0, 2 - 1 / 30 + 4
    )


@pytest.mark.parametrize("container", ["matroska", "webm"])
def test_times_may_begin_anywhere(container: str) -> None:
    pictures = [1000 + one for one in at(0, 3)]
    came = brought_in(made(pictures, Heard(1000, 1005), container=container))
    told(came, pictures, 1000, 1005)


def test_recordings_one_behind_the_other_all_come_in_and_it_is_told_where_each_begins() -> None:
    one = made(at(0, 2), Heard(0, 2), container="webm", options=LIVE)
    came = brought_in(one * 3)
    assert came.notes == [FilmNote.SEVERAL] * 2
    assert came.times[-1] == pytest.approx(6, abs=0.2)
    assert len(came.times) - 1 == pytest.approx(180, abs=3)
    assert len([one for one in came.loud() if one > 0.5]) == 5, "each second of each"


def low(sample: int) -> float:
    """Somebody else, who begins half a second later."""
    return films.beep(sample - films.RATE // 2)


def nothing(sample: int) -> float:
    return 0.0


@pytest.mark.parametrize(
    "sounds",
    [(films.beep, low), (nothing, films.beep, low), (low, nothing, films.beep)],
    ids=["two sides", "the first is silent", "another is silent"],
)
def test_all_that_is_said_is_heard_whatever_track_it_is_on(
    sounds: Sequence[Callable[[int], float]],
) -> None:
    tracks = (Heard(0, 4, sample) for sample in sounds)
    came = brought_in(made(at(0, 4), *tracks, container="matroska"))
    assert came.notes == [FilmNote.SOUNDS_MIXED]
    heard = [one for one in came.loud() if one > 0.25]
    assert heard == pytest.approx([0.5, 1, 1.5, 2, 2.5, 3, 3.5], abs=IN_TIME)


def test_a_track_that_ends_early_keeps_the_others_from_nothing() -> None:
    came = brought_in(
        made(at(0, 4), Heard(0, 1, low), Heard(0, 4), Heard(2, 3, low), container="matroska")
    )
    heard = [one for one in came.loud() if one > 0.25]
    assert heard == pytest.approx([0.5, 1, 2, 2.5, 3], abs=IN_TIME)


def another_kind(film: bytes) -> bytes:
    """The last track of sound, as telephones write their sound in space."""
    found = bytearray(film)
    entry = found.index(b"mp4a", found.rindex(b"stsd"))
    found[entry : entry + 4] = b"apac"
    words = found.index(b"esds", entry)
    found[words : words + 4] = b"dapa"
    return bytes(found)


def test_sound_of_another_kind_is_left_aside_and_told() -> None:
    came = brought_in(another_kind(made(at(0, 3), Heard(0, 3), Heard(0, 3), container="mov")))
    assert came.notes == [FilmNote.SOUND_LEFT]
    assert "APAC" in came.said[0].sentence
    assert [one for one in came.loud() if one > 0.5] == pytest.approx([1, 2], abs=IN_TIME)


def test_where_no_sound_can_be_read_it_is_the_sound_that_is_named() -> None:
    with pytest.raises(BadFile) as refused:
        brought_in(another_kind(made(at(0, 3), Heard(0, 3), container="mov")))
    assert refused.value.said[0] == FilmRefusal.UNKNOWN_SOUND.sentence


def test_a_picture_that_changes_its_size_keeps_its_shape_and_the_largest() -> None:
    sizes = [(256, 64), (512, 128), (1024, 256)]
    film = made(Pictures(at(0, 3), draw=lambda n: sized(*sizes[n // 30])(n)), container="webm")
    came = brought_in(film)
    told(came, at(0, 3), 0, 3)
    assert size_of(came) == (1024, 256)


def test_a_call_that_grows_just_after_a_key_frame_that_was_due_comes_in_as_large() -> None:
    """A browser sends one key frame when it is due and one for the new size, and then none."""
    film = changing({0: (256, 64), 58: (512, 128), 61: (1024, 256)}, 120)
    assert size_of(brought_in(film)) == (1024, 256)


@pytest.mark.parametrize("turns", [35, 85])
def test_of_two_shapes_as_large_it_has_the_one_that_is_seen_for_longer(turns: int) -> None:
    wide, tall = (512, 128), (128, 512)
    film = changing(
        {0: wide, **dict.fromkeys(range(turns - 20, turns, 10), wide), turns: tall}, 120
    )
    assert size_of(brought_in(film)) == (tall if turns < 60 else wide)


def changing(sizes: dict[int, tuple[int, int]], frames: int) -> bytes:
    """A film with key frames nowhere but at these pictures, each with a size of its own."""

    def draw(number: int) -> av.VideoFrame:
        return sized(*sizes[max(first for first in sizes if first <= number)])(number)

    shown = Pictures(
        at(0, frames / 30), "libvpx", {"g": "1000", "deadline": "realtime"}, draw, keys=tuple(sizes)
    )
    return made(shown, container="webm")


@pytest.mark.slow
@pytest.mark.parametrize("heard", [(300, 302), (0, 2)], ids=["comes late", "goes off early"])
def test_a_microphone_that_is_off_for_minutes_takes_no_memory_for_its_silence(
    heard: tuple[int, int],
) -> None:
    """Most of an hour of it was too much for the process that decodes, and the film was refused."""
    film = made([0.0, 150.0, 301.0], Heard(*heard), container="matroska")
    tracemalloc.start()
    try:
        came = brought_in(film)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert came.times[-1] == pytest.approx(max(301, heard[1]), abs=0.1)
    assert most < 40 << 20, "five minutes of silence are 55 MiB"


def size_of(came: Came) -> tuple[int, int]:
    with av.open(io.BytesIO(bytes(came.film)), "r") as opened:
        return opened.streams.video[0].width, opened.streams.video[0].height


def test_a_call_that_was_joined_between_two_key_frames_comes_in_from_the_first() -> None:
    """Sound from the beginning; the picture stands until there is one."""
    film = made(at(0, 6), Heard(0, 6), container="matroska")
    came = brought_in(without_first(film, 1))
    seen = came.pictures
    assert seen[30] == 0 and seen[31] == pytest.approx(31 / 30, abs=HALF_A_PICTURE)
    assert [one for one in came.loud() if one > 0.5] == pytest.approx([1, 2, 3, 4, 5], abs=IN_TIME)


def test_a_film_is_too_long_by_what_it_is_and_not_by_what_it_says() -> None:
    film = made(at(0, 4), Heard(0, 6))
    assert brought_in(film, longest=7).film
    with pytest.raises(BadFile) as refused:
        brought_in(film, longest=5)
    assert refused.value.said[0] == FilmRefusal.TOO_LONG.sentence
