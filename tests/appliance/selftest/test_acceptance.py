"""The acceptance of a kit, run on one without hardware, and what it says when it fails."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from appliance.config import Config
from appliance.errors import KitError
from appliance.records.files import from_json, to_json
from appliance.selftest.acceptance import Acceptance, Report, Virtual, judged
from appliance.selftest.kit import Kit
from appliance.selftest.measures import WARMEST
from appliance.selftest.seen import PromiseBroken, Seen, Step
from appliance.selftest.units import UNITS
from tests.support.boards import put_heat, put_throttled

SCENE = Config(camera="scene", width=320, height=180, frame_rate=10, read_back_pin=22)


class KilledTwice(Virtual):
    """Somebody who pulls the plug of everything: also of who asked for it."""

    def pull_the_plug(self, kit: Kit) -> None:
        super().pull_the_plug(kit)
        raise KeyboardInterrupt


def at(root: Path, config: Config = SCENE) -> Config:
    """These settings of a kit whose home lies there."""
    return msgspec.structs.replace(config, home=str(root / "home"), run=str(root / "run"))


def acceptance(root: Path, hand: Virtual, board: Path | None = None) -> Acceptance:
    return Acceptance(at(root), hand, 0.05, lambda line: None, board or root / "no-board")


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path: the virtual button's socket lies deep in it, and its name has 107 letters."""
    return tmp_path_factory.mktemp("a")


@pytest.mark.slow
def test_a_kit_is_accepted_with_a_report_and_its_films_are_gone(root: Path) -> None:
    put_heat(root, 61.5)
    put_throttled(root, "0")
    run = acceptance(root, Virtual(), root)
    assert run.run()
    report = from_json(to_json(run.report()), Report)
    assert report.ok
    names = [line.name for line in report.lines]
    assert names[-1] == "a pulled plug costs a second at most"
    assert "a film by press" in names
    assert not run.place.exists()
    assert report.units == "not the installed units"
    figures = {one.what: one for one in report.measures}
    assert {what for what, one in figures.items() if one.verdict == "good"} == {
        *("press to light", "press to first sealed pictures", "lamp follows its pin"),
        *("card sync, median", "card sync, worst"),
        *("highest temperature", "held back by the firmware"),
    }
    assert figures["highest temperature"].value == 61.5
    # What only systemd counts is not known, and nobody takes that for good.
    assert {what for what, one in figures.items() if one.verdict == "unknown"} == {
        *("start to ready", "recorder's share of the processor"),
        *(f"memory of {unit}" for unit in UNITS),
    }


@pytest.mark.slow
def test_a_kit_that_gets_too_hot_or_lacks_power_is_not_accepted(root: Path) -> None:
    put_heat(root, WARMEST + 0.1)
    put_throttled(root, "10001")
    run = acceptance(root, Virtual(), root)
    assert not run.run()
    report = run.report()
    assert not report.ok
    bad = [one for one in report.measures if one.verdict == "bad"]
    assert [one.what for one in bad] == ["highest temperature", "held back by the firmware"]
    assert "under voltage" in str(bad[1])


@pytest.mark.slow
def test_after_the_plug_the_same_command_goes_on(root: Path) -> None:
    before = acceptance(root, KilledTwice())
    with pytest.raises(KeyboardInterrupt):
        before.run()
    assert not before.report().ok, "a run that was cut off has accepted nothing"
    assert (before.place / "plug.json").stat().st_mode & 0o777 == 0o600
    run = acceptance(root, Virtual())
    assert run.run()
    assert [line.ok for line in run.steps] == [True] * len(run.steps)
    assert len(run.steps) > 5, "what was seen before the plug is in the report"
    assert {one.what for one in before.report().measures} <= {
        one.what for one in run.report().measures
    }


class Hesitant(Virtual):
    """Somebody who is asked to pull the plug and leaves instead."""

    def pull_the_plug(self, kit: Kit) -> None:
        raise KeyboardInterrupt


@pytest.mark.slow
def test_a_plug_that_nobody_pulled_is_not_judged(root: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        acceptance(root, Hesitant()).run()
    run = acceptance(root, Virtual())
    with pytest.raises(PromiseBroken, match="the plug was not pulled"):
        run.run()
    assert not run.report().ok
    assert not run.place.exists(), "the next run begins anew"


@pytest.mark.slow
def test_a_kit_whose_lamp_goes_out_is_not_accepted(root: Path) -> None:
    faults = msgspec.structs.replace(SCENE.faults, happen=("light-goes-out",), after=2.0)
    told: list[Step] = []
    config = msgspec.structs.replace(SCENE, faults=faults)
    run = Acceptance(at(root, config), Virtual(), 0.0, told.append)
    with pytest.raises(KitError):
        run.run()
    assert [line.name for line in told if not line.ok] == ["a film by press"]
    assert "light-failed" in told[-1].saw
    assert not run.place.exists(), "nobody has the key of what it filmed"


def test_the_report_says_nothing_of_a_service_or_of_networks(root: Path) -> None:
    label = root / "label.toml"
    label.write_text('name = "kit-7k3p"\nssid = "kit-7k3p"\nkey = "secretkey"\naddress = "a"\n')
    config = msgspec.structs.replace(
        at(root),
        label=str(label),
        store="sftp://somebody:secretword@base.example/films",
        store_access="/etc/secretplace",
        base_networks=("secretnetwork",),
        names=("secretname.local",),
    )
    report = Acceptance(config, Virtual(), 0.0, lambda line: None).report()
    assert report.name == "kit-7k3p"
    assert b"secret" not in to_json(report)


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
