"""The recorder as its own process: killed, doubled, ended and started again."""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import pytest

from appliance.config import Config
from appliance.film.manifest import EndReason
from appliance.program import DIED
from appliance.records.clock import SystemClock
from firmware.__main__ import find_hardware
from firmware.cameras.late import LateCamera
from tests.support.recorders import Process, preview, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Process]:
    recorder = Process(tmp_path)
    yield recorder
    recorder.close()


def test_a_film_from_press_to_press_has_every_frame_that_the_camera_gave(recorder: Process) -> None:
    recorder.start()
    recorder.set_up_and_arm()
    recorder.film(2.5)
    recorder.press()
    status = recorder.shows(lambda s: s.ended == "button" and s.state == "ready")
    manifest = recorder.manifest()
    assert manifest.signed_by is not None and manifest.ended is not None
    assert status.frames_in == status.frames_out == manifest.ended.frames > 60
    assert recorder.numbers() == list(range(status.frames_in))
    assert status.virtual and status.camera == "scene: test card"


@pytest.mark.parametrize(("scene", "name"), [("", "scene: test card"), ("family", "scene: family")])
def test_the_camera_looks_at_what_the_settings_name(scene: str, name: str) -> None:
    config = Config(camera="scene", scene=scene, scene_seed=2, width=320, height=180)
    camera, _ = find_hardware(config, SystemClock())
    assert isinstance(camera, LateCamera) and camera.present()
    assert camera.name == name


def test_a_film_ends_at_its_limit_by_itself(recorder: Process) -> None:
    recorder.start()
    recorder.set_up_and_arm(limit=2)
    recorder.press()
    status = recorder.shows(lambda s: s.ended == "limit")
    assert status.frames_out <= 60
    manifest = recorder.manifest()
    assert manifest.ended is not None and 1 < manifest.ended.seconds <= 2


def test_after_kill_9_the_film_is_closed_at_the_next_start_and_what_was_sealed_opens(
    recorder: Process,
) -> None:
    process = recorder.start()
    recorder.set_up_and_arm()
    recorder.film(3.5)
    last = recorder.status()
    assert last is not None
    process.kill()
    process.wait()
    recorder.start()
    manifest = recorder.manifest()
    assert manifest.signed_by is not None and manifest.ended is not None
    assert manifest.ended.why is EndReason.POWER
    assert manifest.ended.tail is not None and len(manifest.segments) == 1
    numbers = recorder.numbers()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= last.frames_out
    assert last.frames_in - len(numbers) <= 30, "more than a second was lost"
    # The permit still holds, and nothing starts by itself: somebody has to press.
    status = recorder.shows(lambda s: s.state == "ready")
    assert status.recording == "" and status.frames_in == 0


def test_sigterm_ends_a_film_cleanly_within_two_seconds(recorder: Process) -> None:
    process = recorder.start()
    recorder.set_up_and_arm()
    recorder.film(1)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert time.monotonic() - asked < 2
    manifest = recorder.manifest()
    assert manifest.ended is not None and manifest.ended.why is EndReason.SHUTDOWN
    assert manifest.ended.tail is None
    assert recorder.numbers() == list(range(manifest.ended.frames))


def test_a_second_recorder_on_one_home_is_refused_and_the_first_goes_on(recorder: Process) -> None:
    first = recorder.start()
    second = recorder.begin()
    _, said = second.communicate(timeout=20)
    assert second.returncode == 1
    assert "already running" in said and "Traceback" not in said
    assert first.poll() is None
    recorder.shows(lambda s: s.state == "idle")


@pytest.mark.parametrize("content", [b"", b"no film at all"])
def test_a_scene_that_is_no_film_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    scene = tmp_path / "scene.mp4"
    scene.write_bytes(content)
    _, said = (process := Process(tmp_path, scene=str(scene)).begin()).communicate(timeout=20)
    assert process.returncode == 1
    assert "scene.mp4" in said and "Traceback" not in said


def test_settings_that_are_not_right_are_refused_in_words(recorder: Process) -> None:
    recorder.settings.write_text("camera = 'telescope'\n")
    _, said = (process := recorder.begin()).communicate(timeout=20)
    assert process.returncode == 1
    assert "camera" in said and "Traceback" not in said


def test_a_thread_that_dies_takes_the_process_with_it() -> None:
    script = """
import threading, time
from appliance.program import end_with_the_thread
threading.excepthook = end_with_the_thread
threading.Thread(target=lambda: 1 / 0).start()
time.sleep(30)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == DIED
    assert "ZeroDivisionError" in done.stderr


def test_systemd_is_told_when_it_is_ready_and_that_it_lives(
    recorder: Process, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        process = recorder.begin(NOTIFY_SOCKET=str(tmp_path / "notify"))
        told = [systemd.recv(100) for _ in range(4)]
        assert told == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        process.send_signal(signal.SIGTERM)
        while (last := systemd.recv(100)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1"
        assert process.wait(10) == 0


def freeze(recorder: Process) -> Path:
    """Let the main loop, and nothing else of the process, stand still: it opens the file of its
    live status, which is now a pipe that nobody reads. Returns the pipe."""
    pipe = recorder.home.status("recorder").with_suffix(".new")

    def made() -> Path | None:
        with suppress(FileExistsError):
            os.mkfifo(pipe)
            return pipe
        return None

    return wait_for(made)


def test_a_main_loop_that_stands_still_films_no_longer_than_agreed_and_systemd_hears_of_it(
    recorder: Process, tmp_path: Path
) -> None:
    limit = 4
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        process = recorder.start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        # Nobody reads what systemd is told: that holds up nothing.
        recorder.set_up_and_arm(limit=limit)
        recorder.film(1)
        pipe = freeze(recorder)
        time.sleep(1)
        heard_of_it = len(drain(systemd))
        last = recorder.status()
        assert heard_of_it and last is not None and last.state == "filming"
        time.sleep(limit)
        assert not drain(systemd), "the loop does not stand still"
        assert recorder.status() == last
        recorder.press()
        assert recorder.status() == last
    # As systemd does once it has heard nothing for long enough.
    process.kill()
    process.wait()
    pipe.unlink()
    recorder.start()
    manifest = recorder.manifest()
    assert manifest.ended is not None and manifest.ended.why is EndReason.POWER
    rate = recorder.config.pictures_a_second
    assert (limit - 1) * rate <= len(recorder.numbers()) <= limit * rate
    assert len(list(recorder.home.recordings.iterdir())) == 1
    recorder.shows(lambda s: s.state == "ready" and s.frames_in == 0)


def drain(wire: socket.socket) -> list[bytes]:
    """Everything that was sent and not read yet."""
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(wire.recv(100, socket.MSG_DONTWAIT))
    return found


def test_the_signing_key_is_the_recorders_alone_and_what_it_tells_is_its_groups(
    recorder: Process,
) -> None:
    recorder.start()
    modes = {
        path.relative_to(recorder.home.root.parent).as_posix(): path.stat().st_mode & 0o777
        for place in (recorder.home.kit, recorder.home.run / "recorder")
        for path in place.iterdir()
        if path.suffix != ".new" and not path.is_dir()
    }
    assert modes.pop("home/kit/signing.key") == 0o600
    assert modes.pop("run/recorder/virtual-button") == 0o660
    assert set(modes.values()) == {0o640}


def look_closely(recorder: Process) -> None:
    recorder.ask(preview(recorder, open_it=True, closely=True))
    recorder.shows(lambda s: s.looks == 1 and s.brightness is not None)
    assert recorder.home.close_look.read_bytes().startswith(b"\xff\xd8\xff")


def left_of_framing(recorder: Process) -> list[Path]:
    """Whatever the recorder leaves in memory but for what it always tells."""
    always = {"status.json", "status.new", "virtual-button"}
    places = recorder.home.preview.parent.iterdir()
    return [path for path in places if path.name not in always]


def test_framing_is_in_memory_only_and_gone_when_it_closes(recorder: Process) -> None:
    recorder.start()
    recorder.set_up_and_arm()
    recorder.ask(preview(recorder, open_it=True))
    recorder.shows(lambda s: (s.state, s.light) == ("preview", "preview"))
    # The status may be a moment before the first picture.
    wait_for(lambda: recorder.home.preview.exists() or None)
    seen = {recorder.home.preview.read_bytes()}
    wait_for(lambda: seen.add(recorder.home.preview.read_bytes()) or len(seen) > 1 or None)
    for picture in seen:
        with av.open(io.BytesIO(picture), format="jpeg_pipe") as coded:
            (frame,) = coded.decode(video=0)
        assert frame.width == 320
    look_closely(recorder)
    recorder.ask(preview(recorder, open_it=False))
    recorder.shows(lambda s: s.state == "ready")
    assert left_of_framing(recorder) == []
    written = [path for path in recorder.home.root.rglob("*") if path.is_file()]
    assert not any(b"\xff\xd8\xff" in path.read_bytes() for path in written)
    assert not list(recorder.home.recordings.iterdir())


def test_nothing_of_framing_outlives_kill_9(recorder: Process) -> None:
    process = recorder.start()
    recorder.set_up_and_arm()
    recorder.ask(preview(recorder, open_it=True))
    wait_for(lambda: recorder.home.preview.exists() or None)
    look_closely(recorder)
    process.kill()
    process.wait()
    recorder.start()
    assert left_of_framing(recorder) == []


def test_holding_on_after_the_stop_removes_the_film_for_good(recorder: Process) -> None:
    recorder.start()
    recorder.set_up_and_arm()
    recording = recorder.film(1).recording
    recorder.button("down")
    recorder.shows(lambda s: s.light == "removing")
    assert (recorder.home.recordings / recording).exists()
    recorder.shows(lambda s: s.state == "ready")
    recorder.button("up")
    assert not list(recorder.home.recordings.iterdir())
    assert (recorder.home.removed / recording).exists()
    assert not (recorder.home.kit / "room").exists()


def test_a_film_that_was_being_removed_when_the_power_went_does_not_come_back(
    recorder: Process,
) -> None:
    process = recorder.start()
    recorder.set_up_and_arm()
    recording = recorder.film(1).recording
    recorder.press()
    recorder.shows(lambda s: s.ended == "button")
    directory = recorder.home.recordings / recording
    kept = directory.with_name("kept")
    shutil.copytree(directory, kept)
    recorder.button("down")
    wait_for(lambda: (recorder.home.removed / recording).exists() or None)
    process.kill()
    process.wait()
    # As if the note had been the last that reached the card.
    shutil.rmtree(directory, ignore_errors=True)
    kept.rename(directory)
    recorder.start()
    assert not list(recorder.home.recordings.iterdir())


TOLD_AT_READY = """
import runpy, sys
def look(event, given):
    if event == "socket.sendto":
        print(*sorted(sys.modules), sep="\\n", file=sys.stderr)
        sys.exit()
sys.addaudithook(look)
runpy.run_module("firmware", run_name="__main__", alter_sys=True)
"""
"""A recorder that says what it had loaded when it told systemd that it is ready, and ends there."""
HEAVY = ("av", "cryptography", "hashlib", "picamera2", "libcamera", "numpy", "ctypes", "click")
"""What films, seals and signs: most of what a recorder loads, in bytes and in time."""
EARLY = {"__main__", "cameras", "cameras.late", "pins", "pins.button", "pins.lamp", "pins.virtual"}
"""The modules that button and light are made of."""


def test_a_recorder_that_says_it_is_ready_has_loaded_nothing_yet_that_films_or_signs(
    tmp_path: Path,
) -> None:
    recorder = Process(tmp_path, program=("-c", TOLD_AT_READY))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        _, said = recorder.begin(NOTIFY_SOCKET=str(tmp_path / "notify")).communicate(timeout=60)
    loaded = set(said.split())
    assert "gpiozero" in loaded and "firmware.pins.lamp" in loaded, said
    assert not {name for name in loaded if name.split(".")[0] in HEAVY}
    ours = {name.removeprefix("firmware.") for name in loaded if name.startswith("firmware.")}
    assert ours <= EARLY
    recorder.close()


@pytest.mark.parametrize("missing", ["cryptography", "inotify_simple"])
def test_a_recorder_that_cannot_load_what_films_ends_and_never_shows_that_it_is_ready(
    tmp_path: Path, missing: str
) -> None:
    without = f"import runpy, sys; sys.modules[{missing!r}] = None; runpy.run_module('firmware', "
    recorder = Process(tmp_path, program=("-c", f"{without}run_name='__main__', alter_sys=True)"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        process = recorder.begin(NOTIFY_SOCKET=str(tmp_path / "notify"))
        _, said = process.communicate(timeout=60)
        assert drain(systemd) == [b"READY=1"]
    # systemd starts it again, and says so: it is not left for dead.
    assert process.returncode not in (0, None)
    assert missing in said
    assert recorder.status() is None
    recorder.close()


def test_a_home_that_cannot_be_used_is_refused_in_words_although_button_and_light_answer(
    recorder: Process,
) -> None:
    recorder.home.kit.mkdir(parents=True, exist_ok=True)
    recorder.home.signing_key.write_bytes(b"no key")
    _, said = (process := recorder.begin()).communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith("attune recorder: ") and "Traceback" not in said
    assert recorder.status() is None
