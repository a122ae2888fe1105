"""Settings are read strictly."""

from pathlib import Path

import pytest

from appliance.config import Config, Faults, load_config, write_config
from appliance.errors import BadFile


def test_settings_survive_being_written(tmp_path: Path) -> None:
    path = tmp_path / "attune.toml"
    faults = Faults(happen=("frames-stop", "card-full"), after=1.5, sound_ppm=-200.0)
    for config in (
        Config(),
        Config(home="/tmp/a b", camera="scene", scene='fi"lm.mp4', port=1, read_back_pin=4),
        Config(camera="scene", hurry=True, faults=faults),
    ):
        write_config(path, config)
        assert load_config(path) == config


@pytest.mark.parametrize(
    "text", ["stealth = true", "port = 'x'", "camera = 'none'", "port = ", "\xff"]
)
def test_a_wrong_setting_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "attune.toml").write_text(text, encoding="latin-1")
    with pytest.raises(BadFile):
        load_config(tmp_path / "attune.toml")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("button_pin = 27", "a pin of their own"),
        ("read_back_pin = 17", "a pin of their own"),
        ("button_pin = 28", "2 to 27"),
        ("light_pin = 0", "2 to 27"),
        ("read_back_pin = -1", "2 to 27"),
    ],
)
def test_pins_that_cannot_be_are_refused_before_any_is_touched(
    tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "attune.toml").write_text(text)
    with pytest.raises(BadFile, match=why):
        load_config(tmp_path / "attune.toml")


@pytest.mark.parametrize(
    "text", ["hurry = true", "[faults]\nhappen = ['light-goes-out']", "[faults]\nsound_ppm = 1.0"]
)
def test_nothing_goes_wrong_on_demand_where_there_is_a_lens(tmp_path: Path, text: str) -> None:
    path = tmp_path / "attune.toml"
    path.write_text(text)
    with pytest.raises(BadFile, match="only a scene"):
        load_config(path)
    path.write_text(f'camera = "scene"\n{text}')
    load_config(path)


@pytest.mark.parametrize("text", ["happen = ['stealth']", "after = -1.0", "lamp = 'off'"])
def test_a_fault_that_there_is_not_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "attune.toml").write_text(f'camera = "scene"\n[faults]\n{text}')
    with pytest.raises(BadFile):
        load_config(tmp_path / "attune.toml")


def test_a_missing_file_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no settings file"):
        load_config(tmp_path / "attune.toml")
