"""The acceptance of a kit, run on one without hardware, and what it says when it fails."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from appliance.config import Config
from appliance.errors import KitError
from appliance.selftest.acceptance import Acceptance, Virtual, judged
from appliance.selftest.kit import Kit
from appliance.selftest.seen import PromiseBroken, Seen, Step

SCENE = Config(camera="scene", width=320, height=180, frame_rate=10, read_back_pin=22)


class KilledTwice(Virtual):
    """Somebody who pulls the plug of everything: also of who asked for it."""

    def pull_the_plug(self, kit: Kit) -> None:
        super().pull_the_plug(kit)
        raise KeyboardInterrupt


def acceptance(place: Path, hand: Virtual, config: Config = SCENE) -> Acceptance:
    return Acceptance(config, place, hand, 0.05, lambda line: None)


@pytest.mark.slow
def test_a_kit_is_accepted_with_a_report_and_its_films_are_gone(tmp_path: Path) -> None:
    run = acceptance(tmp_path / "run", Virtual())
    assert run.run()
    report = json.loads(run.report())
    assert report["ok"]
    names = [line["name"] for line in report["lines"]]
    assert names[-1] == "a pulled plug costs a second at most"
    assert "a film by press" in names
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_after_the_plug_the_same_command_goes_on(tmp_path: Path) -> None:
    place = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        acceptance(place, KilledTwice()).run()
    assert (place / "plug.json").stat().st_mode & 0o777 == 0o600
    run = acceptance(place, Virtual())
    assert run.run()
    assert [line.ok for line in run.steps] == [True] * len(run.steps)
    assert len(run.steps) > 5, "what was seen before the plug is in the report"


@pytest.mark.slow
def test_a_kit_whose_lamp_goes_out_is_not_accepted(tmp_path: Path) -> None:
    faults = msgspec.structs.replace(SCENE.faults, happen=("light-goes-out",), after=2.0)
    told: list[Step] = []
    config = msgspec.structs.replace(SCENE, faults=faults)
    with pytest.raises(KitError):
        Acceptance(config, tmp_path / "run", Virtual(), 0.0, told.append).run()
    assert [line.name for line in told if not line.ok] == ["a film by press"]
    assert "light-failed" in told[-1].saw


# --- Cameras and what is said of them -------------------------------------------------------------

MINUTES = 45


def shown(microseconds: Fraction, left_out: Callable[[int], bool] = lambda n: False) -> Seen:
    """A film of a sensor that takes so long for a picture, with sound up to its end."""
    pictures = range(int(60_000_000 * MINUTES / microseconds))
    times = tuple(n * microseconds / 1_000_000 for n in pictures if not left_out(n))
    return Seen(times, 60.0 * MINUTES)


def said_of(film: Seen, missed: int = 0, rate: int = 30, *, hears: bool = True) -> str:
    return judged(film, film.frames, missed, rate, hears=hears)


@pytest.mark.parametrize(
    "microseconds", ["33321.5", "33327.5", "33333.3333", "33345.1", "40000", "39988.2", "41680"]
)
def test_a_sensor_that_never_runs_quite_at_its_rate_is_accepted(microseconds: str) -> None:
    """What the lines of real sensors make of 30, 25 and 24 pictures a second."""
    film = shown(Fraction(microseconds))
    rate = round(1_000_000 / float(microseconds))
    assert f"{film.rate:.3f} pictures a second" in said_of(film, rate=rate)


def test_four_pictures_that_are_left_out_in_all_are_no_reason_to_refuse() -> None:
    film = shown(Fraction("33321.5"), lambda number: number in (500, 9000, 40_000, 80_000))
    assert "left 4 pictures out" in said_of(film, 4)


@pytest.mark.parametrize(
    ("left_out", "missed", "said"),
    [
        (lambda number: number % 500 == 499, 162, "left 162 pictures out"),
        (lambda number: 3000 < number < 3030, 29, "stood for 1.00 s"),
        (lambda number: number > 80_000, 0, "of sound to"),
    ],
)
def test_a_camera_that_misses_or_stalls_is_refused(
    left_out: Callable[[int], bool], missed: int, said: str
) -> None:
    film = shown(Fraction("33321.5"), left_out)
    with pytest.raises(PromiseBroken, match=said):
        said_of(film, missed)


def test_a_camera_that_keeps_another_time_is_refused_and_one_that_hears_nothing_is_not() -> None:
    film = shown(Fraction(33_900))
    with pytest.raises(PromiseBroken, match=r"29\.499 pictures a second in place of 30"):
        said_of(film)
    silent = Seen(shown(Fraction(33_333)).times, 0.0)
    with pytest.raises(PromiseBroken, match=r"0\.00 s of sound"):
        said_of(silent)
    assert said_of(silent, hears=False)


def test_pictures_that_were_given_and_are_not_in_the_film_are_told() -> None:
    film = shown(Fraction(33_333))
    with pytest.raises(PromiseBroken, match="frames in"):
        judged(film, film.frames + 1, 0, 30, hears=True)
