"""The recorder with the Pi's camera: what was filmed is in the film that was sealed.

The recorder is a process of its own, the camera the real picamera2 on libcamera's virtual camera
(bars that move one column a picture, 30 a second), the microphone one that hears a clap a second.
"""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from appliance.film.manifest import EndReason, Manifest, read_manifest
from appliance.film.recording import open_recording
from appliance.program import DIED
from firmware.camera import SAMPLE_RATE
from tests.firmware.test_main import preview
from tests.support.fakes import CASE
from tests.support.films import a_second_apart
from tests.support.recorders import CLOCK, Process

pytestmark = pytest.mark.usefixtures("alsa")

HERE = Path(__file__).parent
FRAME = Fraction(1, 30)


def recorder(root: Path, program: str = "recorder.py", **settings: object) -> Process:
    wanted = {
        "frame_rate": 30,
        "camera": "picamera",
        "width": 1280,
        "height": 720,
        "microphone": "clapping",
    }
    return Process(root, (str(HERE / program),), **(wanted | settings))


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Process]:
    with closing(recorder(tmp_path)) as kit:
        kit.start()
        yield kit


@dataclass
class Film:
    """What a sealed film shows and lets hear, opened and decoded."""

    manifest: Manifest
    size: tuple[int, int]
    times: list[Fraction]
    """Second of each picture."""
    keys: list[int]
    """Which of them are key frames."""
    claps: list[float]
    """Second of each clap."""
    sound: float
    """Seconds of sound."""
    complete: bool = False
    """True if nothing was lost after its last picture."""
    missed: int = 0
    """Pictures that the kit says are missing."""


def opened(directory: Path) -> Film:
    film = Film(read_manifest(directory), (0, 0), [], [], [], 0.0)
    with (
        closing(open_recording(directory, [CASE], check=True)) as opened,
        opened.film.open() as file,
        av.open(file) as container,
    ):
        film.complete = opened.complete
        for frame in container.decode():
            assert frame.time is not None
            if isinstance(frame, av.VideoFrame):
                film.size = frame.width, frame.height
                film.keys += [len(film.times)] * frame.key_frame
                film.times.append(frame.pts * Fraction(frame.time_base))
                continue
            begins = round(frame.time * SAMPLE_RATE)
            film.sound = (begins + frame.samples) / SAMPLE_RATE
            for place, value in enumerate(memoryview(frame.planes[0]).cast("B").cast("f")):
                at = (begins + place) / SAMPLE_RATE
                if value > 0.3 and (not film.claps or at > film.claps[-1] + 0.5):
                    film.claps.append(at)
    return film


def pressed_to_end(kit: Process, seconds: float) -> Film:
    """A film from press to press, of at least half the pictures that a machine with time takes."""
    began = kit.film(seconds).recording
    kit.shows(lambda s: s.frames_in >= 15 * seconds)
    kit.press()
    status = kit.shows(lambda s: s.ended == "button" and s.state == "ready")
    film = opened(kit.home.recording(began))
    ended = film.manifest.ended
    assert ended is not None and ended.why is EndReason.BUTTON and ended.tail is None
    assert film.complete
    assert status.frames_in == status.frames_out == ended.frames == len(film.times)
    # A machine that is busy with other things may miss a picture. Then there is a gap of whole
    # pictures, and the kit says so itself; none is late or early.
    steps = [(after - before) / FRAME for before, after in pairwise(film.times)]
    assert all(abs(step - round(step)) < Fraction(1, 100) for step in steps)
    film.missed = sum(round(step) - 1 for step in steps)
    assert film.missed == status.frames_missed
    return film


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_every_picture_is_in_the_sealed_film_at_its_time(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    width, height = size
    with closing(recorder(tmp_path, width=width, height=height)) as kit:
        kit.start()
        kit.set_up_and_arm()
        film = pressed_to_end(kit, 5)
    assert film.size == size
    assert film.times[0] == 0
    seconds = [film.times[key] for key in film.keys]
    assert all(abs(b - a - 1) <= film.missed * FRAME + FRAME / 100 for a, b in pairwise(seconds))
    assert len(film.manifest.segments) >= 2


@pytest.mark.parametrize("packages", ["", "/opt/wheel:"])
def test_sound_and_picture_of_a_film_go_together(tmp_path: Path, packages: str) -> None:
    # With Debian's PyAV, as a kit has it, and with the wheel's.
    with closing(recorder(tmp_path)) as kit:
        kit.start(PYTHONPATH=packages + os.environ["PYTHONPATH"])
        kit.set_up_and_arm()
        film = pressed_to_end(kit, 5)
    assert film.sound == pytest.approx(float(film.times[-1] + FRAME), abs=0.2)
    assert len(film.claps) >= 3
    assert a_second_apart(film.claps, by=0.06), film.claps


def test_while_filming_the_page_sees_that_the_microphone_hears(kit: Process) -> None:
    kit.set_up_and_arm()
    status = kit.film(1.5)
    assert status.camera == "Raspberry Pi camera"
    assert status.sound is not None
    heard = kit.shows(lambda s: s.sound is not None and s.sound.peak > -6)
    assert heard.sound is not None and heard.sound.rms < -15
    kit.press()
    status = kit.shows(lambda s: s.ended == "button")
    assert status.sound is None
    assert status.timings_ms["stop_to_closed"] < 500


def test_a_second_film_begins_at_zero_again(kit: Process) -> None:
    kit.set_up_and_arm()
    first, second = pressed_to_end(kit, 1), pressed_to_end(kit, 2)
    assert first.times[0] == second.times[0] == 0
    assert second.claps and second.sound == pytest.approx(float(second.times[-1]), abs=0.2)


def test_a_film_ends_at_its_limit(kit: Process) -> None:
    kit.set_up_and_arm(limit=2)
    kit.press()
    status = kit.shows(lambda s: s.ended is not None)
    assert status.ended == "limit"
    film = opened(kit.home.recording(status.recording))
    assert 1.5 < film.times[-1] + FRAME <= 2


def test_where_sound_was_not_agreed_to_the_microphone_stays_shut(tmp_path: Path) -> None:
    # It would be noticed: there is no such microphone.
    with closing(recorder(tmp_path, microphone="nowhere")) as kit:
        kit.start()
        kit.set_up_and_arm(sound=False)
        film = pressed_to_end(kit, 1)
    assert film.times and not film.sound


def test_a_microphone_that_does_not_answer_is_said_before_anything_is_seen(tmp_path: Path) -> None:
    with closing(recorder(tmp_path, microphone="nowhere")) as kit:
        kit.start()
        kit.set_up_and_arm()
        kit.press()
        status = kit.shows(lambda s: s.state == "fault" and s.ended is not None)
        assert (status.reason, status.ended, status.frames_in) == ("sound-failed",) * 2 + (0,)
        # Without the microphone being mended, the next press says the same.
        kit.press()
        kit.shows(lambda s: s.state == "ready")


def test_while_framing_it_is_told_how_loud_it_is(kit: Process) -> None:
    kit.set_up_and_arm()
    kit.ask(preview(kit, open_it=True))
    heard = kit.shows(lambda s: s.sound is not None and s.sound.loudest > -6)
    assert (heard.state, heard.with_sound) == ("preview", True)
    kit.ask(preview(kit, open_it=False))
    status = kit.shows(lambda s: s.state == "ready")
    assert (status.with_sound, status.sound) == (False, None)


def test_framing_goes_on_without_a_microphone_that_answers(tmp_path: Path) -> None:
    with closing(recorder(tmp_path, microphone="nowhere")) as kit:
        kit.start()
        kit.set_up_and_arm()
        kit.ask(preview(kit, open_it=True))
        kit.shows(lambda s: s.state == "preview")
        time.sleep(1.5)
        status = kit.shows(lambda s: s.state == "preview" and s.sound is None)
        assert status.with_sound and kit.home.preview.exists()


def test_after_kill_9_at_most_a_second_is_missing_and_the_camera_is_free(kit: Process) -> None:
    kit.set_up_and_arm()
    status = kit.film(3)
    kit.running[-1].kill()
    kit.running[-1].wait()
    last = kit.status()
    assert last is not None
    kit.start()
    directory = kit.home.recording(status.recording)
    with closing(open_recording(directory, [CASE])) as film:
        assert film.manifest.ended is not None
        assert film.manifest.ended.why is EndReason.POWER
        frames = len(film.film.frames)
    assert last.frames_in - frames <= 30
    kit.shows(lambda s: s.state == "ready")
    time.sleep(0.1)
    kit.film(1)
    kit.press()
    kit.shows(lambda s: s.ended == "button")


@pytest.fixture
def on_cable(tmp_path: Path) -> Iterator[Process]:
    """A recorder that films on a cable which can be pulled."""
    with closing(recorder(tmp_path, "loose_cable.py")) as kit:
        kit.start()
        kit.set_up_and_arm(sound=False)
        kit.film(1)
        yield kit


def pull(kit: Process, how: str) -> float:
    kit.home.status("recorder").with_name("cable").write_text(how)
    return CLOCK.monotonic()


def test_a_camera_that_gives_no_more_pictures_is_shown_and_what_came_before_is_kept(
    on_cable: Process,
) -> None:
    pulled = pull(on_cable, "silent")
    status = on_cable.shows(lambda s: s.state == "fault" and s.ended is not None)
    assert 1.9 < CLOCK.monotonic() - pulled < 4
    assert status.reason == status.ended == "frames-stopped"
    assert (
        status.frames_out
        == status.frames_in
        == len(opened(on_cable.home.recording(status.recording)).times)
    )
    # The cable is mended, and somebody takes note.
    pull(on_cable, "")
    on_cable.press()
    on_cable.shows(lambda s: s.state == "ready")
    on_cable.film(1)


def test_a_camera_that_cannot_be_stopped_ends_with_the_process_and_the_film_is_kept(
    on_cable: Process,
) -> None:
    pulled = pull(on_cable, "loose")
    before = on_cable.status()
    assert before is not None
    process = on_cable.running[-1]
    assert process.wait(20) == DIED
    assert 4.5 < CLOCK.monotonic() - pulled < 8
    pull(on_cable, "")
    on_cable.start()
    film = opened(on_cable.home.recording(before.recording))
    assert film.manifest.ended is not None
    assert film.manifest.ended.why in (EndReason.CAMERA_FAILED, EndReason.POWER)
    assert len(film.times) >= before.frames_out
    on_cable.shows(lambda s: s.state == "ready")
    on_cable.film(1)


def test_a_kit_whose_pins_are_not_there_says_so_in_words(tmp_path: Path) -> None:
    with closing(Process(tmp_path, camera="picamera")) as kit:
        process = kit.begin()
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "pins" in said and "Traceback" not in said
