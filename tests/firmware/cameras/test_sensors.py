"""A film shows all that its lens sees, whichever camera it is made with."""

import pytest

from firmware.cameras.sensors import SENSORS, Mode, Sensor, focus_of, sensor_of
from tests.support.places import ROOT

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
RATES = (24, 25, 30)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("model", SENSORS)
def test_nearly_the_whole_width_is_seen(model: str, size: str, rate: int) -> None:
    sensor = SENSORS[model]
    mode = sensor.mode_for(SIZES[size], rate)
    assert mode.rate >= rate
    assert sensor.seen(mode, SIZES[size]) >= 0.95


@pytest.mark.parametrize(
    ("model", "small", "large"),
    [
        ("ov5647", (1296, 972), (1296, 972)),
        ("imx219", (1640, 1232), (1640, 1232)),
        ("imx708", (2304, 1296), (2304, 1296)),
        ("imx477", (2028, 1520), (2028, 1520)),
        ("imx296", (1456, 1088), (1456, 1088)),
    ],
)
def test_the_smallest_mode_that_shows_it_is_taken(
    model: str, small: tuple[int, int], large: tuple[int, int]
) -> None:
    sensor = SENSORS[model]
    assert sensor.mode_for(SIZES["720p"], 30).size == small
    assert sensor.mode_for(SIZES["1080p"], 30).size == large


def test_of_modes_that_show_it_the_smallest_with_enough_points_is_taken() -> None:
    sensor = Sensor("made up", (4000, 2250), tuple(
        Mode((across, across * 9 // 16), (4000, 2250), 30) for across in (4000, 1000, 2000, 1400)
    ))  # fmt: skip
    assert [sensor.mode_for((w, w * 9 // 16), 25).size[0] for w in (1280, 1920, 4000, 640)] == [
        1400, 2000, 4000, 1000,
    ]  # fmt: skip


def test_where_nothing_is_fast_enough_the_fastest_is_taken() -> None:
    slow, slower = Mode((1280, 720), (1280, 720), 20), Mode((2560, 1440), (2560, 1440), 10)
    assert Sensor("made up", (2560, 1440), (slower, slow)).mode_for((1280, 720), 25) is slow


def test_every_lens_of_a_sensor_is_known_and_a_strange_one_is_not() -> None:
    for model in ("imx708", "imx708_wide", "imx708_noir", "imx708_wide_noir"):
        assert sensor_of(model) is SENSORS["imx708"]
    assert sensor_of("imx999") is None
    assert sensor_of("") is None


@pytest.mark.parametrize(
    ("model", "metres"),
    [
        ("imx708", 2.0),
        ("imx708_noir", 2.0),
        ("imx708_wide", 1.0),
        ("imx708_wide_noir", 1.0),
        ("imx219", None),
        ("imx477", None),
        ("imx999", None),
    ],
)
def test_a_lens_that_can_be_moved_is_sharp_across_a_room(model: str, metres: float | None) -> None:
    assert focus_of(model) == metres


def test_the_page_on_hardware_says_what_each_camera_shows() -> None:
    rows = [
        f"| {sensor.name} (`{model}`) | "
        + " | ".join(
            f"{mode.size[0]} x {mode.size[1]}, {100 * sensor.seen(mode, size):.0f} %"
            for size in SIZES.values()
            for mode in [sensor.mode_for(size, 30)]
        )
        + " |"
        for model, sensor in SENSORS.items()
    ]
    page = (ROOT / "docs" / "hardware.md").read_text()
    assert "\n".join(rows) in page, "\n".join(rows)
