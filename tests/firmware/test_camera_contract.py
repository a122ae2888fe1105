"""One contract, every camera: the same tests over each, in real time.

The Pi's camera is tested in the rig only, on the real picamera2 and libcamera: see tests/rig.
"""

import importlib.util
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import pytest
from av.video.frame import PictureType

from appliance.film.manifest import EndReason
from appliance.records.clock import SystemClock
from firmware.camera import PREVIEW_EVERY, SAMPLE_RATE, TICKS, Camera, GuardedSink, Seen, brightness
from firmware.cameras.family.scene import FamilyScene
from firmware.cameras.scene import FilmScene, SceneCamera
from firmware.cameras.testcard import TestCard
from firmware.microphone import Microphone
from tests.support.fakes import Reel
from tests.support.films import film
from tests.support.recorders import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("alsa")]

CLOCK = SystemClock()
SECONDS = 2.3


@dataclass
class Filmed:
    """What a camera gave in a film of `SECONDS`."""

    camera: Camera
    size: tuple[int, int]
    rate: int
    """Pictures a second."""
    reel: Reel = field(default_factory=Reel)
    failures: list[EndReason] = field(default_factory=list)
    until_first: float = 0.0
    """Seconds from the start to the first picture."""
    until_off: float = 0.0
    """Seconds from the stop until it was off."""
    lasted: float = 0.0
    """Seconds from the first picture until it was off."""
    missed: int = 0
    """Pictures left out, as a camera does on a machine that is busy with other things."""

    def film(self, seconds: float = SECONDS) -> None:
        sink = GuardedSink(self.reel, 60, CLOCK, self.failures.append)
        began = CLOCK.monotonic()
        set_to = self.camera.start(sink, self.failures.append)
        assert (set_to.size, set_to.frame_rate) == (self.size, self.rate)
        wait_for(lambda: self.reel.pictures or None)
        first = CLOCK.monotonic()
        self.until_first = first - began
        time.sleep(seconds)
        stopped = CLOCK.monotonic()
        self.camera.stop()
        self.until_off = CLOCK.monotonic() - stopped
        self.lasted = CLOCK.monotonic() - first
        self.missed = sink.missed


@pytest.mark.parametrize("form", ["yuv420p", "nv12"])
@pytest.mark.parametrize("size", [(1280, 720), (320, 180), (66, 34), (16, 2)])
@pytest.mark.parametrize(
    ("luma", "light"), [(0, 0.0), (16, 0.0), (60, 0.201), (126, 0.502), (235, 1.0), (255, 1.0)]
)
def test_how_bright_a_picture_is_does_not_depend_on_its_size_or_form(
    form: str, size: tuple[int, int], luma: int, light: float
) -> None:
    frame = av.VideoFrame(*size, form)
    for number, plane in enumerate(frame.planes):
        # What lies beside the picture, to fill a line, is no part of it.
        wide = min(size[0], plane.line_size)
        line = bytes([luma if number == 0 else 128]) * wide + b"\xff" * (plane.line_size - wide)
        lines = line * (plane.buffer_size // len(line) + 1)
        plane.update(lines[: plane.buffer_size])
    assert brightness(frame) == pytest.approx(light, abs=0.001)


Made = tuple[Camera, tuple[int, int], int]
"""A camera, and the size and rate of its films."""


def card(_: Path, rate: int = 30) -> Made:
    return SceneCamera(TestCard(640, 360, rate), 1_000_000, CLOCK), (640, 360), rate


def family(_: Path) -> Made:
    return SceneCamera(FamilyScene(640, 360, 25), 1_000_000, CLOCK), (640, 360), 25


def film_file(folder: Path) -> Made:
    path = folder / "film.mp4"
    path.write_bytes(film(45, sound=lambda _: 0.1))
    scene = FilmScene(path, 1280, 720)
    return SceneCamera(scene, 1_000_000, CLOCK), (scene.width, scene.height), 30


def pi_camera(_: Path) -> Made:
    if importlib.util.find_spec("picamera2") is None:
        pytest.skip("picamera2 is in the rig only: run tests/rig/pytest.sh")
    from firmware.cameras.picamera import PiCamera

    microphone = Microphone("clapping", CLOCK)
    return PiCamera(1280, 720, 30, 4_000_000, CLOCK, microphone), (1280, 720), 30


Maker = Callable[[Path], Made]
slower = [pytest.param(partial(card, rate=rate), id=f"card of {rate}") for rate in (24, 25)]


@pytest.fixture(scope="module", params=[card, *slower, family, film_file, pi_camera])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    make: Maker = request.param
    return make(tmp_path_factory.mktemp("camera"))


@pytest.fixture
def camera(made: Made) -> Camera:
    return made[0]


@pytest.fixture(scope="module")
def filmed(made: Made, alsa: None) -> Filmed:
    """One film, for all the tests that only look at it."""
    filmed = Filmed(*made)
    filmed.film()
    return filmed


def test_it_is_there_and_gives_nothing_before_it_is_started(camera: Camera) -> None:
    assert camera.name
    assert camera.present()
    camera.stop()


def test_the_first_picture_is_a_key_frame_at_time_zero(filmed: Filmed) -> None:
    _, at, _, key = filmed.reel.pictures[0]
    assert (at, key) == (0, True)


def test_a_key_frame_comes_each_second_and_can_be_opened_by_itself(filmed: Filmed) -> None:
    keys = [(data, at) for data, at, _, key in filmed.reel.pictures if key]
    late = filmed.missed * TICKS / filmed.rate
    assert len(keys) >= SECONDS - filmed.missed / filmed.rate
    assert all(after - before <= 1.05 * TICKS + late for (_, before), (_, after) in pairwise(keys))
    for data, _ in keys:
        with av.open(io.BytesIO(data), format="h264") as coded:
            (picture,) = coded.decode(video=0)
        assert (picture.width, picture.height) == filmed.size


def test_every_picture_can_be_shown_and_none_is_out_of_order(filmed: Filmed) -> None:
    stream = b"".join(data for data, *_ in filmed.reel.pictures)
    with av.open(io.BytesIO(stream), format="h264") as coded:
        shown = [PictureType(picture.pict_type).name for picture in coded.decode(video=0)]
    assert len(shown) == len(filmed.reel.pictures)
    assert "B" not in shown
    times = [at for _, at, _, _ in filmed.reel.pictures]
    assert all(a < b for a, b in pairwise(times))


def test_pictures_come_as_fast_as_time_passes(filmed: Filmed) -> None:
    _, at, duration, _ = filmed.reel.pictures[-1]
    seconds = (at + duration) / TICKS
    assert SECONDS - 0.2 < seconds < filmed.lasted + 0.2
    assert duration == TICKS // filmed.rate
    assert len(filmed.reel.pictures) + filmed.missed == pytest.approx(filmed.rate * seconds, abs=2)
    assert filmed.missed <= 20 * SECONDS


def test_its_sound_goes_with_the_pictures(filmed: Filmed) -> None:
    # The reel has seen to it that there is no gap.
    assert filmed.camera.has_sound
    _, at, duration, _ = filmed.reel.pictures[-1]
    seconds = len(filmed.reel.samples) / 2 / SAMPLE_RATE
    assert seconds == pytest.approx((at + duration) / TICKS, abs=0.2)
    assert any(filmed.reel.samples)


def test_it_is_quickly_on_and_quickly_off(filmed: Filmed) -> None:
    # `attune bench record` has the times of a machine that does nothing else.
    assert not filmed.failures
    assert filmed.until_first < 2.0
    assert filmed.until_off < 0.5


def test_nothing_comes_after_the_stop_and_a_second_film_begins_anew(
    made: Made,
) -> None:
    first, second = Filmed(*made), Filmed(*made)
    first.film(0.3)
    pictures, sound = len(first.reel.pictures), len(first.reel.samples)
    second.film(0.3)
    second.camera.stop()
    assert (len(first.reel.pictures), len(first.reel.samples)) == (pictures, sound)
    _, at, _, key = second.reel.pictures[0]
    assert (at, key) == (0, True)
    assert not first.failures and not second.failures


def test_it_shows_small_pictures_for_framing_lets_hear_and_films_after_that(
    made: Made,
) -> None:
    camera, (width, height), rate = made
    shown, heard, failures = list[bytes](), list[int](), list[EndReason]()
    light = set[float]()
    whole = list[bytes]()

    def show(seen: Seen) -> None:
        (whole if seen.whole else shown).append(seen.picture)
        light.add(seen.light)

    began = CLOCK.monotonic()
    set_to = camera.preview(show, lambda frame: heard.append(frame.samples), failures.append)
    assert (set_to.size, set_to.frame_rate) == ((width, height), rate)
    wait_for(lambda: (len(shown) >= 4 and sum(heard) > SAMPLE_RATE) or None)
    assert not whole
    camera.look_closely()
    wait_for(lambda: whole or None)
    camera.stop()
    lasted = CLOCK.monotonic() - began
    count, sounds = len(shown), len(heard)
    time.sleep(0.3)
    # A microphone may hear before a lens sees.
    assert sum(heard) / SAMPLE_RATE <= lasted + 0.5
    assert count == len(shown) <= lasted / PREVIEW_EVERY + 2
    for data in shown:
        with av.open(io.BytesIO(data), format="jpeg_pipe") as coded:
            (picture,) = coded.decode(video=0)
        assert picture.width == pytest.approx(min(480, width), abs=2)
        assert picture.height == pytest.approx(picture.width * height / width, abs=2)
    assert len(set(shown)) > 1
    assert all(0 < one < 1 for one in light)
    (closely,) = whole
    with av.open(io.BytesIO(closely), format="jpeg_pipe") as coded:
        (picture,) = coded.decode(video=0)
    assert (picture.width, picture.height) == (width, height)
    filmed = Filmed(*made)
    filmed.film(0.3)
    assert not failures and not filmed.failures
    assert (len(shown), len(heard)) == (count, sounds)


def test_framing_is_deaf_where_only_pictures_were_agreed_to(camera: Camera) -> None:
    shown, failures = list[Seen](), list[EndReason]()
    camera.preview(shown.append, None, failures.append)
    wait_for(lambda: shown or None)
    camera.stop()
    assert not failures


def test_where_only_pictures_were_agreed_to_no_sound_comes(
    made: Made,
) -> None:
    class Pictures(Reel):
        with_sound = False

    mute = Filmed(*made, reel=Pictures())
    mute.film(0.5)
    assert mute.reel.pictures and not mute.reel.samples


def test_a_film_that_cannot_go_on_leaves_a_camera_that_can_be_stopped(camera: Camera) -> None:
    class Full(Reel):
        def picture(self, data: bytes, time: int, duration: int, key: bool) -> None:
            if time > TICKS // 10:
                raise OSError("no room")
            super().picture(data, time, duration, key)

    reel, ends, failures = Full(), list[EndReason](), list[EndReason]()
    camera.start(GuardedSink(reel, 60, CLOCK, ends.append), failures.append)
    wait_for(lambda: ends or None)
    time.sleep(0.2)
    camera.stop()
    assert (ends, failures) == ([EndReason.FAULT], [])
    again = Reel()
    camera.start(again, failures.append)
    wait_for(lambda: again.pictures or None)
    camera.stop()
    assert not failures
