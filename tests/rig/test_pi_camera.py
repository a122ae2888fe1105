"""What can go wrong between picamera2 and us, and what becomes of it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import CameraFailed
from appliance.film.manifest import EndReason
from appliance.records.clock import SystemClock
from firmware.camera import TICKS
from firmware.microphone import Microphone
from tests.support.fakes import Reel
from tests.support.recorders import wait_for

CLOCK = SystemClock()


class Parts:
    """A camera on the real picamera2, of which a test may get hold."""

    def __init__(self, microphone: Microphone | None = None) -> None:
        # There in the rig only.
        from picamera2 import Picamera2

        from firmware.cameras.picamera import PiCamera, Place

        parts = self

        class Watched(Picamera2):  # type: ignore[misc]
            def start_recording(self, encoder: Any, output: Any, **rest: Any) -> None:
                parts.encoder = encoder
                parts.at_start.wait(10)
                super().start_recording(encoder, output, **rest)

            def stop_recording(self) -> None:
                parts.at_stop.wait(10)
                super().stop_recording()

            def close(self) -> None:
                super().close()
                parts.closed.set()

        self.encoder: Any = None
        self.at_start, self.at_stop, self.closed = (threading.Event() for _ in range(3))
        self.at_start.set()
        self.at_stop.set()
        self.reel = Reel()
        self.failures: list[EndReason] = []
        # This camera knows nothing of flicker: then nothing is asked of it.
        self.camera = PiCamera(1280, 720, 30, 2_000_000, CLOCK, microphone, Watched, Place(50))

    def start(self) -> None:
        self.closed.clear()
        self.camera.start(self.reel, self.failures.append)

    def stop(self) -> None:
        """Stop it, and wait until it is free for another."""
        self.at_start.set()
        self.at_stop.set()
        self.camera.stop()
        assert self.encoder is None or self.closed.wait(10)

    def wait_for_pictures(self) -> None:
        wait_for(lambda: self.reel.pictures or None)


@pytest.fixture
def parts() -> Iterator[Parts]:
    parts = Parts()
    yield parts
    parts.stop()


def test_a_stop_that_hangs_is_said_in_three_seconds_and_nothing_comes_after_it(
    parts: Parts,
) -> None:
    parts.start()
    parts.wait_for_pictures()
    parts.at_stop.clear()
    asked = CLOCK.monotonic()
    with pytest.raises(CameraFailed, match="does not stop"):
        parts.camera.stop()
    assert CLOCK.monotonic() - asked < 3.5
    pictures = len(parts.reel.pictures)
    time.sleep(0.2)
    assert len(parts.reel.pictures) == pictures
    # It may still come to its senses, but not be believed before it has.
    with pytest.raises(CameraFailed):
        parts.camera.stop()


def test_a_start_that_hangs_is_said_and_is_not_taken_for_a_camera_that_is_off(
    parts: Parts,
) -> None:
    parts.at_start.clear()
    with pytest.raises(CameraFailed, match="does not start"):
        parts.start()
    with pytest.raises(CameraFailed, match="does not stop"):
        parts.camera.stop()


def test_a_film_is_coded_in_the_profile_that_keeps_most_of_a_face(parts: Parts) -> None:
    parts.start()
    parts.wait_for_pictures()
    data, *_ = parts.reel.pictures[0]
    parameters = data.index(b"\0\0\1\x67") + 4
    # ITU-T H.264, 7.3.2.1.1 and A.2.4: profile_idc of High.
    assert data[parameters] == 100


def test_an_encoder_that_fails_is_told_once_and_the_camera_can_be_stopped(parts: Parts) -> None:
    parts.start()
    parts.wait_for_pictures()
    # Nothing can be coded without it: picamera2 raises in its own thread.
    parts.encoder._stream = None
    wait_for(lambda: parts.failures or None)
    assert parts.failures == [EndReason.CAMERA_FAILED]
    parts.camera.stop()
    parts.reel = Reel()
    parts.start()
    parts.wait_for_pictures()


def test_a_camera_that_is_in_use_does_not_start(parts: Parts) -> None:
    from picamera2 import Picamera2

    other = Picamera2()
    with pytest.raises(CameraFailed, match="does not start"):
        parts.start()
    parts.camera.stop()
    other.close()
    parts.start()
    parts.wait_for_pictures()


@pytest.mark.parametrize(
    ("model", "mains_hz", "sensor", "controls"),
    [
        (
            "imx708_wide",
            50,
            {"output_size": (2304, 1296), "bit_depth": 10},
            {"AeFlickerMode": 1, "AeFlickerPeriod": 10_000, "AfMode": 0, "LensPosition": 1.0},
        ),
        (
            "imx477",
            60,
            {"output_size": (2028, 1520), "bit_depth": 12},
            {"AeFlickerMode": 1, "AeFlickerPeriod": 8_333},
        ),
        ("imx219", 0, {"output_size": (1640, 1232), "bit_depth": 10}, {}),
        ("not known", 0, {}, {}),
    ],
)
def test_all_that_the_lens_sees_is_filmed_and_lamps_draw_no_bands(
    model: str, mains_hz: int, sensor: dict[str, Any], controls: dict[str, Any]
) -> None:
    from picamera2 import Picamera2

    from firmware.cameras.picamera import PiCamera, Place

    asked: dict[str, Any] = {}
    closed = threading.Event()

    class Called(Picamera2):  # type: ignore[misc]
        """The camera that is here, under another's name and with what others offer."""

        @property
        def camera_properties(self) -> dict[str, Any]:
            return {
                **super().camera_properties,
                "Model": model,
                "PixelArraySize": (4608, 2592),
                "ScalerCropMaximum": (768, 432, 3072, 1728),
            }

        @property
        def camera_controls(self) -> dict[str, Any]:
            return {
                **super().camera_controls,
                "AeFlickerMode": (0, 1, 0),
                "LensPosition": (0.0, 15.0, 1.0),
                "ExposureTime": (26, 220_000_000, 20_000),
            }

        def create_video_configuration(self, **words: Any) -> Any:
            if not words:
                # Its own, of before it is asked.
                return super().create_video_configuration()
            asked.update(words)
            here = {"FrameRate": words["controls"]["FrameRate"]}
            return super().create_video_configuration(**{**words, "controls": here})

        def close(self) -> None:
            super().close()
            closed.set()

    camera = PiCamera(1280, 720, 25, 2_000_000, CLOCK, None, Called, Place(mains_hz))
    reel = Reel()
    set_to = camera.start(reel, lambda why: None)
    wait_for(lambda: reel.pictures or None)
    camera.stop()
    assert closed.wait(10)
    assert (set_to.camera, set_to.size, set_to.frame_rate) == (model, (1280, 720), 25)
    # What libcamera says, whatever was asked: the mode that it took sees two thirds.
    assert (set_to.seen, set_to.exposure) == (0.667, (26, 40_000))
    assert set_to.focus == controls.get("LensPosition")
    assert set_to.encoder == "libx264, high"
    assert asked["sensor"] == sensor
    assert asked["raw"] is None
    assert asked["controls"] == {"FrameRate": 25, **controls}


def test_a_camera_whose_words_are_not_understood_films_all_the_same() -> None:
    from picamera2 import Picamera2

    from firmware.cameras.picamera import PiCamera

    closed = threading.Event()

    class Odd(Picamera2):  # type: ignore[misc]
        @property
        def camera_properties(self) -> dict[str, Any]:
            return {
                **super().camera_properties,
                "ScalerCropMaximum": "all",
                "Model": 5 * "long" * 9,
            }

        def close(self) -> None:
            super().close()
            closed.set()

    camera, reel = PiCamera(1280, 720, 25, 2_000_000, CLOCK, None, Odd), Reel()
    set_to = camera.start(reel, lambda why: None)
    wait_for(lambda: reel.pictures or None)
    camera.stop()
    assert closed.wait(10)
    assert (set_to.camera, set_to.seen) == (camera.name, None)


@pytest.mark.parametrize(
    ("metres", "lens", "asked"),
    [
        (0.5, (0.0, 15.0, 1.0), {"AfMode": 0, "LensPosition": 2.0}),
        (0.1, (0.0, 8.0, 1.0), {"AfMode": 0, "LensPosition": 8.0}),
        (None, (0.0, 15.0, 1.0), {"AfMode": 0, "LensPosition": 0.5}),
        (2.0, None, {}),
    ],
)
def test_a_lens_stays_where_it_is_set_and_one_that_cannot_be_moved_is_left(
    metres: float | None, lens: tuple[float, float, float] | None, asked: dict[str, Any]
) -> None:
    from picamera2 import Picamera2

    from firmware.cameras.picamera import PiCamera, Place

    class Lens(Picamera2):  # type: ignore[misc]
        @property
        def camera_properties(self) -> dict[str, Any]:
            return {**super().camera_properties, "Model": "imx708"}

        @property
        def camera_controls(self) -> dict[str, Any]:
            return super().camera_controls | ({"LensPosition": lens} if lens else {})

    place = Place(focus=metres)
    opened = Lens()
    camera = PiCamera(1280, 720, 25, 2_000_000, CLOCK, None, place=place)
    assert camera._sharp(opened) == asked
    opened.close()


@pytest.mark.parametrize(
    ("upside_down", "mirrored", "turned"),
    [
        (False, False, (False, False)),
        (True, False, (True, True)),
        (False, True, (True, False)),
        (True, True, (False, True)),
    ],
)
def test_however_it_is_mounted_the_picture_stands_upright(
    upside_down: bool, mirrored: bool, turned: tuple[bool, bool]
) -> None:
    from picamera2 import Picamera2

    from firmware.cameras.picamera import PiCamera, Place

    asked: dict[str, Any] = {}

    class Asked(Exception):
        pass

    class Told(Picamera2):  # type: ignore[misc]
        def configure(self, configuration: Any, *rest: Any) -> None:
            asked.update(configuration)
            self.close()
            raise Asked

    place = Place(upside_down=upside_down, mirrored=mirrored)
    camera = PiCamera(1280, 720, 25, 2_000_000, CLOCK, None, Told, place)
    with pytest.raises(CameraFailed):
        camera.start(Reel(), lambda why: None)
    assert (bool(asked["transform"].hflip), bool(asked["transform"].vflip)) == turned


def test_what_is_no_picture_does_not_begin_a_film() -> None:
    from firmware.cameras.picamera import _ToSink

    reel, began = Reel(), list[int]()
    output = _ToSink(reel, 30, began.append)
    output.outputframe(None, True, 5_000_000, object(), audio=True)
    output.outputframe(b"no key", False, 6_000_000)
    output.outputframe(b"no time", True, None)
    assert not reel.pictures and not began
    output.outputframe(memoryview(b"key"), True, 7_000_000)
    output.outputframe(None, True, 7_010_000, object(), audio=True)
    output.outputframe(b"next", False, 7_033_333)
    assert reel.pictures == [(b"key", 0, 3000, True), (b"next", 2999, 3000, False)]
    assert began == [7_000_000]


@pytest.mark.parametrize(
    ("name", "hardware"),
    [
        ("bcm2835-codec-encode\n", True),
        ("rpi-hevc-dec\n", False),
        ("a webcam\n", False),
        (None, False),
    ],
)
def test_the_encoder_is_chosen_by_what_the_machine_has(
    tmp_path: Path, name: str | None, hardware: bool
) -> None:
    from firmware.cameras.picamera import has_hardware_encoder

    if name is not None:
        (tmp_path / "name").write_text(name)
    assert has_hardware_encoder(tmp_path / "name") is hardware


def test_sound_begins_when_the_first_picture_was_seen(alsa: None) -> None:
    began = list[float]()

    class Heard(Microphone):
        def begin(self, zero: float) -> None:
            began.append(zero)
            super().begin(zero)

    parts = Parts(Heard("clapping", CLOCK))
    before = CLOCK.monotonic()
    parts.start()
    parts.wait_for_pictures()
    arrived = CLOCK.monotonic()
    wait_for(lambda: parts.reel.pictures[-1][1] > TICKS or None)
    parts.stop()
    # By the sensor's own times, which come with each picture, not by when it came out of the coder.
    (zero,) = began
    assert before < zero < arrived
    assert zero + parts.reel.pictures[-1][1] / TICKS < CLOCK.monotonic()
    assert not parts.failures
