"""The camera without a lens: real pictures with their numbers, times and sound."""

import io
import itertools
import threading
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from appliance.bench.odd.drawn import number_in, to_the_right
from appliance.bench.odd.films import FILMS
from appliance.bench.odd.muxed import Pictures, made, steps, turned
from appliance.config import Fault, Faults
from appliance.errors import BadInput, CameraFailed
from appliance.film.manifest import EndReason
from appliance.media import av_sync
from firmware.camera import SAMPLE_RATE, TICKS
from firmware.cameras.scene import FilmScene, SceneCamera, sound_frame
from firmware.cameras.testcard import TestCard, read_number
from firmware.muxer import Muxer
from tests.support import films
from tests.support.clocks import FakeClock, HurriedClock
from tests.support.fakes import Reel, look_at, muxed


def decoded(pieces: list[bytes]) -> Iterator[av.VideoFrame]:
    with av.open(io.BytesIO(b"".join(pieces))) as film:
        yield from film.decode(film.streams.video[0])


def loud(pieces: list[bytes]) -> list[tuple[float, float]]:
    """From when to when a film is loud, in seconds."""
    spans: list[list[int]] = []
    at = 0
    with av.open(io.BytesIO(b"".join(pieces))) as film:
        for frame in film.decode(film.streams.audio[0]):
            heard = array("f", bytes(frame.planes[0])[: 4 * frame.samples])
            for place, value in enumerate(heard, start=at):
                if abs(value) > 0.1:
                    if not spans or place - spans[-1][1] > SAMPLE_RATE // 20:
                        spans.append([place, place])
                    spans[-1][1] = place
            at += frame.samples
    return [(first / SAMPLE_RATE, last / SAMPLE_RATE) for first, last in spans]


@pytest.mark.parametrize(
    ("width", "height", "rate"), [(1280, 720, 30), (640, 360, 25), (322, 180, 60)]
)
def test_each_frame_of_the_test_card_tells_its_number(width: int, height: int, rate: int) -> None:
    frames = list(decoded(muxed(TestCard(width, height, rate), 45, bit_rate=300_000)))
    assert [read_number(frame) for frame in frames] == list(range(45))
    assert [frame.pts for frame in frames] == [n * TICKS // rate for n in range(45)]


def test_a_picture_that_is_no_test_card_has_no_number() -> None:
    assert read_number(av.VideoFrame(640, 360, "yuv420p")) is None
    grey = av.VideoFrame(640, 360, "yuv420p")
    for plane in grey.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    assert read_number(grey) is None
    assert read_number(films.numbered(5)) is None


def test_large_numbers_are_read_too() -> None:
    card = TestCard(320, 180, 30)
    take = next(itertools.islice(card.takes(), 3, None))
    assert read_number(take.frame) == 3
    for number in (45 * 60 * 30, (1 << 24) - 1):
        assert read_number(card.frame(number)) == number


def test_flash_and_beep_come_together_each_second() -> None:
    pieces = muxed(TestCard(320, 180, 30), 95)
    bright = [
        frame.pts / TICKS
        for frame in decoded(pieces)
        if bytes(frame.planes[0])[-10 * frame.planes[0].line_size] > 200
    ]
    assert bright == pytest.approx([s + n / 30 for s in range(4) for n in range(3)][: len(bright)])
    assert len(bright) == 12
    spans = loud(pieces)
    # The first beep begins in what the sound's encoder cannot carry.
    assert spans[0] == pytest.approx((1024 / SAMPLE_RATE, 0.1), abs=0.002)
    assert [s for s, _ in spans[1:]] == pytest.approx([1, 2, 3], abs=0.002)
    assert [e for _, e in spans[1:3]] == pytest.approx([1.1, 2.1], abs=0.002)


def test_there_is_a_key_frame_in_each_second_and_every_frame_comes_at_once() -> None:
    reel = Reel(100)
    look_at(TestCard(320, 180, 30), reel)
    keys = [time for _, time, _, key in reel.pictures if key]
    assert keys == [0, TICKS, 2 * TICKS, 3 * TICKS]
    with av.open(io.BytesIO(b"".join(data for data, *_ in reel.pictures)), format="h264") as film:
        kinds = [frame.pict_type for frame in film.decode(film.streams.video[0])]
    assert [n for n, kind in enumerate(kinds) if kind == 1] == [0, 30, 60, 90]
    assert set(kinds) == {1, 2}


def test_a_second_film_begins_anew() -> None:
    camera = SceneCamera(TestCard(320, 180, 30), 500_000, HurriedClock())
    for _ in range(2):
        reel = Reel(5)
        camera.start(reel, lambda why: pytest.fail(why.value))
        assert reel.full.wait(30)
        camera.stop()
        camera.stop()
        assert reel.pictures[0][1] == 0
        (frame,) = itertools.islice(decoded_h264(reel.pictures[0][0]), 1)
        assert read_number(frame) == 0


def decoded_h264(data: bytes) -> Iterator[av.VideoFrame]:
    with av.open(io.BytesIO(data), format="h264") as film:
        yield from film.decode(film.streams.video[0])


def test_nothing_comes_before_the_start_or_after_the_stop() -> None:
    camera = SceneCamera(TestCard(320, 180, 30), 500_000, HurriedClock())
    reel = Reel()
    camera.stop()
    assert not reel.pictures
    camera.start(reel, lambda why: pytest.fail(why.value))
    camera.stop()
    given = len(reel.pictures)
    camera.stop()
    assert len(reel.pictures) == given


def film_file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25)])
def test_a_film_keeps_its_own_times(tmp_path: Path, rate: Fraction) -> None:
    path = film_file(tmp_path / "film.mp4", films.film(30, rate=rate))
    frames = list(decoded(muxed(FilmScene(path, 1280, 720), 30, sound=False)))
    expected = [round(n * TICKS / rate) for n in range(30)]
    assert [frame.pts for frame in frames] == pytest.approx(expected, abs=1)
    assert [films.number_in(frame) for frame in frames] == list(range(30))


def test_a_film_of_uneven_pace_keeps_it(tmp_path: Path) -> None:
    times = [0, 3000, 9000, 10000, 20000, 50000, 53000]
    data = films.film(6, times=times.__getitem__)
    scene = FilmScene(film_file(tmp_path / "film.mp4", data), 1280, 720)
    takes = list(itertools.islice(scene.takes(), 6))
    assert [take.time for take in takes] == times[:6]
    assert [take.duration for take in takes[:5]] == [3000, 6000, 1000, 10000, 30000]


def test_a_film_with_frames_out_of_order_is_shown_in_order(tmp_path: Path) -> None:
    data = films.film(40, encoder=films.LIKE_OTHERS, options={})
    scene = FilmScene(film_file(tmp_path / "film.mp4", data), 1280, 720)
    takes = itertools.islice(scene.takes(), 40)
    assert [films.number_in(take.frame) for take in takes] == list(range(40))


def test_a_short_film_is_shown_again_from_its_start_without_a_gap(tmp_path: Path) -> None:
    data = films.film(10, sound=lambda n: 0.5 if n < 4800 else 0.0)
    scene = FilmScene(film_file(tmp_path / "film.mp4", data), 1280, 720)
    takes = list(itertools.islice(scene.takes(), 35))
    assert [films.number_in(take.frame) for take in takes] == [*range(10)] * 3 + [*range(5)]
    assert [take.time for take in takes] == [3000 * n for n in range(35)]
    assert sum(len(take.sound) for take in takes) == 2 * 35 * 1600
    heard = array("h", b"".join(take.sound for take in takes))
    assert all(abs(heard[turn * 16000 + 2400]) > 8000 for turn in range(3))
    assert all(abs(heard[turn * 16000 + 9600]) < 1000 for turn in range(3))


def test_a_larger_film_is_made_smaller_and_even(tmp_path: Path) -> None:
    path = film_file(tmp_path / "film.mp4", films.film(3))
    small = FilmScene(path, films.WIDTH // 3, 720)
    assert (small.width % 2, small.height % 2) == (0, 0)
    assert small.width <= films.WIDTH // 3
    assert next(small.takes()).frame.width == small.width
    own = FilmScene(path, 1280, 720)
    assert (own.width, own.height) == (films.WIDTH, films.HEIGHT)


def test_a_film_that_says_it_is_turned_is_shown_upright(tmp_path: Path) -> None:
    """As telephones write that are held upright."""
    film = turned(films.film(10, **films.PLAIN))
    scene = FilmScene(film_file(tmp_path / "film.mp4", film), 1280, 720)
    assert (scene.width, scene.height) == (films.HEIGHT, films.WIDTH)
    shown = [take.frame for take in itertools.islice(scene.takes(), 10)]
    assert {(frame.width, frame.height) for frame in shown} == {(films.HEIGHT, films.WIDTH)}
    assert [number_in(frame, to_the_right) for frame in shown] == list(range(10))
    coded = list(decoded(muxed(scene, 5, sound=False)))
    assert [number_in(frame, to_the_right) for frame in coded] == list(range(5))
    small = FilmScene(tmp_path / "film.mp4", 1280, 64)
    assert (small.width, small.height) == (16, 64)


def squeezed(context: Any) -> None:
    context.sample_aspect_ratio = Fraction(64, 45)


def test_a_film_whose_pixels_are_not_square_is_shown_in_its_shape(tmp_path: Path) -> None:
    film = made(Pictures(steps(0, 1, 25), lasts=1 / 25, marks=squeezed))
    scene = FilmScene(film_file(tmp_path / "film.mp4", film), 1280, 720)
    assert (scene.width, scene.height) == (364, 64)
    shown = [take.frame for take in itertools.islice(scene.takes(), 25)]
    assert {(frame.width, frame.height) for frame in shown} == {(364, 64)}
    assert [number_in(frame) for frame in shown] == list(range(25))


def test_a_film_from_0_to_255_keeps_its_lights(tmp_path: Path) -> None:
    film = FILMS["full709.mp4"].make()
    scene = FilmScene(film_file(tmp_path / "film.mp4", film), 1280, 720)
    frame = next(scene.takes()).frame
    plane = frame.planes[0]
    rows = [bytes(plane)[at * plane.line_size :][: frame.width] for at in range(frame.height)]
    assert min(map(min, rows)) >= 14 and max(map(max, rows)) <= 237


def test_a_film_without_sound_is_silent(tmp_path: Path) -> None:
    scene = FilmScene(film_file(tmp_path / "film.mp4", films.film(3)), 1280, 720)
    assert not scene.has_sound
    assert next(scene.takes()).sound == b""


@pytest.mark.parametrize("data", [b"", b"not a film at all", bytes(100_000)])
def test_a_file_that_is_no_film_is_refused_with_a_hint(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CameraFailed) as refused:
        FilmScene(film_file(tmp_path / "film.mp4", data), 1280, 720)
    assert refused.value.hint


def test_a_film_that_is_cut_off_is_refused_or_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = films.film(60)
    outcomes = set()
    for length in range(0, len(whole), len(whole) // 40):
        path = film_file(tmp_path / "film.mp4", whole[:length])
        try:
            takes = FilmScene(path, 1280, 720).takes()
        except CameraFailed:
            outcomes.add("refused")
        else:
            outcomes.add("shown")
            assert films.number_in(next(takes).frame) == 0
    assert "refused" in outcomes


def test_a_film_that_goes_away_while_it_is_shown_is_a_failed_camera(tmp_path: Path) -> None:
    path = film_file(tmp_path / "film.mp4", films.film(10))
    camera = SceneCamera(FilmScene(path, 1280, 720), 500_000, HurriedClock())
    failures: list[EndReason] = []
    failed = threading.Event()

    def on_failure(why: EndReason) -> None:
        failures.append(why)
        failed.set()

    reel = Reel()
    camera.start(reel, on_failure)
    path.unlink()
    assert failed.wait(30)
    camera.stop()
    assert failures == [EndReason.CAMERA_FAILED]
    # What was open went on to its end.
    assert reel.pictures and len(reel.pictures) % 10 == 0


def test_a_film_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraFailed):
        FilmScene(tmp_path / "none.mp4", 1280, 720)


# --- What goes wrong on demand --------------------------------------------------------------------


def going_wrong(*happen: Fault, after: float = 0.5, **sound: float) -> SceneCamera:
    faults = Faults(happen=happen, after=after, **sound)
    return SceneCamera(TestCard(160, 96, 30), 200_000, HurriedClock(), faults=faults)


def test_a_camera_that_is_missing_says_so_and_one_that_does_not_start_raises() -> None:
    assert going_wrong().present()
    assert not going_wrong("camera-missing").present()
    with pytest.raises(CameraFailed):
        going_wrong("camera-does-not-start").start(Reel(), lambda why: None)


def test_a_camera_that_fails_gives_what_came_before_and_tells_it_once() -> None:
    camera, reel, failed = going_wrong("camera-fails"), Reel(), threading.Event()
    failures: list[EndReason] = []

    def on_failure(why: EndReason) -> None:
        failures.append(why)
        failed.set()

    camera.start(reel, on_failure)
    assert failed.wait(30)
    camera.stop()
    assert failures == [EndReason.CAMERA_FAILED]
    assert len(reel.pictures) == 15


def test_pictures_stop_without_a_word_and_the_camera_still_closes() -> None:
    camera, reel = going_wrong("frames-stop"), Reel(15)
    camera.start(reel, lambda why: pytest.fail(why.value))
    assert reel.full.wait(30)
    reel.full.clear()
    assert not reel.full.wait(0.3)
    camera.stop()
    assert len(reel.pictures) == 15


def test_sound_stops_and_pictures_go_on() -> None:
    camera, reel = going_wrong("sound-stops"), Reel(45)
    camera.start(reel, lambda why: pytest.fail(why.value))
    assert reel.full.wait(30)
    camera.stop()
    assert len(reel.samples) == 2 * SAMPLE_RATE // 2


@pytest.mark.slow
def test_a_camera_that_does_not_stop_is_not_taken_for_one_that_did() -> None:
    camera, reel = going_wrong("camera-does-not-stop"), Reel(5)
    camera.start(reel, lambda why: pytest.fail(why.value))
    assert reel.full.wait(30)
    with pytest.raises(CameraFailed, match="does not stop"):
        camera.stop()


def test_a_camera_that_hurries_waits_for_the_card_and_not_for_the_time() -> None:
    camera = SceneCamera(TestCard(160, 96, 30), 200_000, FakeClock(), hurry=True)
    reel = Reel(90)
    reel.busy = True
    camera.start(reel, lambda why: pytest.fail(why.value))
    assert not reel.full.wait(0.2) and not reel.pictures
    reel.busy = False
    assert reel.full.wait(30)
    camera.stop()
    assert [time for _, time, _, _ in reel.pictures] == [3000 * n for n in range(90)]


# --- Sound against picture, as it comes out of the film -------------------------------------------


def film_of(camera: SceneCamera, seconds: int, late: float = 0.0) -> io.BytesIO:
    """Film it; its sound comes `late` seconds."""
    pieces: list[bytes] = []
    muxer = Muxer(pieces.append, sound=True)
    reel = Late(30 * seconds, muxer, late)
    camera.start(reel, lambda why: pytest.fail(why.value))
    assert reel.full.wait(100)
    camera.stop()
    muxer.close()
    return io.BytesIO(b"".join(pieces))


class Late(Reel):
    def __init__(self, enough: int, target: Muxer, late: float) -> None:
        super().__init__(enough, target)
        self._silence, self._muxer = round(late * SAMPLE_RATE), target

    def sound(self, frame: av.AudioFrame) -> None:
        if self._silence:
            self._muxer.sound(sound_frame(bytes(2 * self._silence), 0))
            self._silence = 0
        super().sound(frame)


def test_what_is_in_time_is_found_to_be_and_what_is_not_is_not() -> None:
    assert av_sync.worst(film_of(going_wrong(), 7), 0) < 0.003
    assert av_sync.worst(film_of(going_wrong(), 7, late=0.1), 0) == pytest.approx(0.1, abs=0.003)
    assert av_sync.worst(film_of(going_wrong(), 7, late=1.0), 0) == pytest.approx(1.0, abs=0.003)


def test_a_film_without_flash_or_beep_is_not_taken_for_one_in_time() -> None:
    silent = film_of(going_wrong("sound-stops", after=2.0), 7)
    with pytest.raises(BadInput):
        av_sync.worst(silent, 0)
    with pytest.raises(BadInput):
        av_sync.worst(io.BytesIO(films.film(200, sound=lambda n: 0.1)), 0)


@pytest.mark.slow
@pytest.mark.parametrize("skew", [200.0, -1000.0])
def test_sound_stays_with_its_picture_whatever_its_clock_and_its_losses(skew: float) -> None:
    film = film_of(going_wrong(sound_ppm=skew, sound_lost=0.5), 200)
    for start in (0, 8, 60, 68, 128, 190):
        film.seek(0)
        assert av_sync.worst(film, start) < 0.010


@pytest.mark.slow
def test_where_sound_is_lost_there_is_silence_and_nothing_moves() -> None:
    film = film_of(going_wrong(sound_lost=3.0), 20)
    with pytest.raises(BadInput):
        av_sync.worst(film, 5)
    film.seek(0)
    assert av_sync.worst(film, 10) < 0.010
