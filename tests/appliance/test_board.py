"""What a Pi says of its heat and of what its firmware holds back, as the kernel's files say it."""

from pathlib import Path

import pytest

from appliance.board import Throttle, Throttled, heat, throttled
from tests.support.boards import put_heat, put_throttled


@pytest.mark.parametrize(
    ("said", "now", "lately", "text"),
    [
        ("0", Throttle(0), Throttle(0), "none"),
        ("50005", Throttle.UNDER_VOLTAGE | Throttle.SLOWED, Throttle(5), "under voltage, slowed"),
        ("80008", Throttle.SOFT_LIMIT, Throttle.SOFT_LIMIT, "soft limit"),
        ("20000", Throttle(0), Throttle.CAPPED, "none"),
    ],
)
def test_what_the_firmware_holds_back_is_told_by_name(
    tmp_path: Path, said: str, now: Throttle, lately: Throttle, text: str
) -> None:
    put_throttled(tmp_path, said)
    assert throttled(tmp_path) == Throttled(now, lately)
    assert str(now) == text


def test_the_warmest_of_its_sensors_counts(tmp_path: Path) -> None:
    put_heat(tmp_path, 51.2)
    put_heat(tmp_path, 64.9, number=1)
    put_heat(tmp_path, 99.0, number=2, name="pwmfan")
    assert heat(tmp_path) == 64.9


def test_a_machine_that_does_not_say_is_not_taken_for_a_cool_one(tmp_path: Path) -> None:
    assert heat(tmp_path) is None
    assert throttled(tmp_path) is None
    put_throttled(tmp_path, "no number")
    (tmp_path / "sys/class/hwmon/hwmon0").mkdir(parents=True)
    assert heat(tmp_path) is None
    assert throttled(tmp_path) is None
