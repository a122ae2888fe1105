"""What an acceptance measures, up to and beyond each limit, and what nobody knows."""

from pathlib import Path

import pytest

from appliance.board import Throttle
from appliance.selftest.measures import (
    LAMP_MS,
    Watch,
    measured,
    of_the_memory,
    of_the_start,
)
from firmware.pins.lamp import FOLLOWS_WITHIN
from tests.support.boards import put_throttled


@pytest.mark.parametrize(("value", "verdict"), [(9.999, "good"), (10.0, "good"), (10.01, "bad")])
def test_a_figure_is_good_up_to_its_limit(value: float, verdict: str) -> None:
    assert measured("a figure", value, 10.0, "ms", "in short").verdict == verdict


def test_what_was_held_back_before_the_run_is_not_held_against_it(tmp_path: Path) -> None:
    put_throttled(tmp_path, "50000")
    watch = Watch(tmp_path)

    def held_back(said: str) -> float | None:
        put_throttled(tmp_path, said)
        watch.look()
        return next(m.value for m in watch.measures() if m.what == "held back by the firmware")

    assert held_back("50000") == 0
    assert held_back("0") == 0
    # What the firmware had forgotten, and says again, was held back anew.
    assert held_back("40000") == Throttle.SLOWED
    assert held_back("1") == Throttle.SLOWED | Throttle.UNDER_VOLTAGE


def test_a_recorder_that_was_started_by_hand_says_nothing_of_the_start() -> None:
    machine = {"KernelTimestamp": "Mon", "UserspaceTimestampMonotonic": "9000000"}
    entered = "ActiveEnterTimestampMonotonic"
    booted = {entered: "21000000"}
    assert of_the_start({entered: "20500000"}, booted, machine).value == 20.5
    assert of_the_start({entered: "21000001"}, booted, machine).verdict == "unknown"
    assert of_the_start({entered: "0"}, booted, machine).verdict == "unknown"
    assert of_the_start({entered: "70000000"}, {entered: "71000000"}, machine).verdict == "bad"
    container = machine | {"KernelTimestamp": ""}
    assert of_the_start({entered: "20500000"}, booted, container).value == 11.5


def test_a_unit_that_takes_nearly_all_its_memory_is_refused() -> None:
    most = str(256 << 20)
    assert of_the_memory("u", {"MemoryPeak": str(230 << 20), "MemoryMax": most}).verdict == "good"
    assert of_the_memory("u", {"MemoryPeak": str(231 << 20), "MemoryMax": most}).verdict == "bad"
    for shown in (
        {"MemoryPeak": "[not set]", "MemoryMax": most},
        {"MemoryPeak": str(2**64 - 1), "MemoryMax": most},
        {"MemoryPeak": "1", "MemoryMax": "infinity"},
        {},
    ):
        assert of_the_memory("u", shown).verdict == "unknown"


def test_where_the_kernel_counts_no_unit_its_main_process_counts(tmp_path: Path) -> None:
    """Raspberry Pi's firmware has the kernel count none."""
    shown = {"MemoryPeak": str(2**64 - 1), "MemoryMax": str(256 << 20), "MainPID": "7"}
    assert of_the_memory("u", shown, tmp_path).verdict == "unknown"
    (tmp_path / "proc/7").mkdir(parents=True)
    status = tmp_path / "proc/7/status"
    status.write_text("Name:\tpython\nVmHWM:\t  131072 kB\nVmRSS:\t  1 kB\n")
    half = of_the_memory("u", shown, tmp_path)
    assert (half.value, half.verdict) == (0.5, "good")
    assert "its main process" in str(half)
    status.write_text("Name:\tpython\nVmHWM:\t  250000 kB\n")
    assert of_the_memory("u", shown, tmp_path).verdict == "bad"


def test_a_lamp_that_is_half_as_slow_as_the_recorder_bears_is_refused() -> None:
    assert LAMP_MS <= 1000 * FOLLOWS_WITHIN / 2
