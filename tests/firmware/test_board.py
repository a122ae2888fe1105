"""What the Pi says of itself, as the kernel's files say it."""

from pathlib import Path

import pytest

from appliance.protocol.permits import PressRefusal
from firmware.board import Equipment, PiBoard
from firmware.light import Light
from tests.support.clocks import FakeClock
from tests.support.fakes import FakeCamera, FakeLamp


def sensor(folder: Path, number: int, **values: str) -> None:
    directory = folder / f"sys/class/hwmon/hwmon{number}"
    directory.mkdir(parents=True)
    for name, value in values.items():
        (directory / name).write_text(f"{value}\n")


@pytest.mark.parametrize(
    ("alarm", "heat", "trouble"),
    [
        ("0", "45123", None),
        ("0", "79999", None),
        ("0", "80000", PressRefusal.TOO_HOT),
        ("1", "45123", PressRefusal.UNDER_VOLTAGE),
        ("1", "90000", PressRefusal.UNDER_VOLTAGE),
    ],
)
def test_a_pi_without_power_or_too_hot_is_in_trouble(
    tmp_path: Path, alarm: str, heat: str, trouble: PressRefusal | None
) -> None:
    sensor(tmp_path, 0, name="cpu_thermal", temp1_input=heat)
    sensor(tmp_path, 1, name="rpi_volt", in0_lcrit_alarm=alarm)
    sensor(tmp_path, 2, name="pwmfan", in0_lcrit_alarm="1", temp1_input="99000")
    assert PiBoard(tmp_path).trouble() is trouble


def test_a_machine_that_does_not_say_is_not_in_trouble(tmp_path: Path) -> None:
    assert PiBoard(tmp_path / "nothing").trouble() is None
    sensor(tmp_path, 0, name="rpi_volt")
    sensor(tmp_path, 1, name="cpu_thermal", temp1_input="warm")
    (tmp_path / "sys/class/hwmon/hwmon2").mkdir()
    assert PiBoard(tmp_path).trouble() is None


@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("needed", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_a_film_with_sound_needs_a_microphone_where_there_is_a_lens(
    tmp_path: Path, sound: bool, needed: bool, there: bool
) -> None:
    clock = FakeClock()
    camera = FakeCamera(clock, [])
    camera.has_sound = there
    light = Light(FakeLamp(), clock, lambda: None)
    equipment = Equipment(light, camera, PiBoard(tmp_path), needs_microphone=needed)
    missing = sound and needed and not there
    assert equipment.trouble(sound) is (PressRefusal.NO_MICROPHONE if missing else None)
