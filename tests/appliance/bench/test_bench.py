"""The frame of the measures: what a row says, and a page that is renewed part by part."""

import json

import pytest

from appliance import bench
from appliance.bench import Row, row
from appliance.commands.main import run


def test_a_measure_is_met_up_to_its_bound_and_not_beyond() -> None:
    assert row("a", "b", 0.8, "<= 0.80") == Row("a", "b", 0.8, "<= 0.80", True)
    assert not row("a", "b", 0.8001, "<= 0.80").met
    assert row("a", "b", 0.8, ">= 0.80").met
    assert not row("a", "b", 0.7999, ">= 0.80").met


def test_measures_are_taken_in_turn_and_the_first_round_does_not_count() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    ours, theirs = bench.in_turn(lambda: measure("ours"), lambda: measure("theirs"), times=2)
    assert order == ["ours", "theirs"] * 3
    assert (ours, theirs) == ([3, 5], [4, 6])


def test_a_machine_that_slows_down_half_way_changes_no_ratio() -> None:
    assert bench.median_ratio([1, 1, 10], [2, 2, 20]) == 0.5


def test_what_is_printed_is_one_object_with_the_machine_and_every_row() -> None:
    told = json.loads(json.dumps(bench.as_object([row("a", "b", 0.5, "<= 0.80")])))
    assert told["rows"] == [
        {"name": "a", "against": "b", "ratio": 0.5, "reach": "<= 0.80", "met": True}
    ]
    assert told["machine"]["processor"]


def test_a_page_of_measures_is_renewed_part_by_part() -> None:
    good, bad = row("good", "x", 0.5, "<= 0.80"), row("bad", "x", 0.9, "<= 0.80")
    first = bench.report({"seal": [bad], "clips": [good]}, "2026-11-21")
    assert "| bad | x | 0.9 | <= 0.80 | no |" in first
    second = bench.report({"seal": [good]}, "2026-11-22", first)
    assert "bad" not in second
    assert "| good | x | 0.5 | <= 0.80 | yes |" in second.split("## seal")[1]
    assert "2026-11-21" in second.split("## seal")[0] and "2026-11-22" in second.split("## seal")[1]
    assert bench.report({"seal": [good]}, "2026-11-22", second) == second


@pytest.mark.parametrize("part", bench.PARTS)
def test_every_part_has_its_module(part: str) -> None:
    assert callable(bench.find(part))


def test_only_what_lasts_as_long_as_a_film_can_be_measured_in_real_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["bench", "seal", "--real-time"]) == 2
    assert "Only record" in capsys.readouterr().err


def test_how_many_objects_are_audited_is_a_word_for_base_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["bench", "seal", "--objects", "1000"]) == 2
    assert "goes with base" in capsys.readouterr().err


def test_how_long_a_film_is_brought_in_is_a_word_for_import_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["bench", "seal", "--minutes", "1"]) == 2
    assert "goes with import" in capsys.readouterr().err
