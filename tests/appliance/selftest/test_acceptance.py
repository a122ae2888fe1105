"""The acceptance of a kit, run on one without hardware, and what it says when it fails."""

import json
from pathlib import Path

import msgspec
import pytest

from appliance.config import Config
from appliance.errors import KitError
from appliance.selftest.acceptance import Acceptance, Virtual
from appliance.selftest.kit import Kit
from appliance.selftest.seen import Step

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
