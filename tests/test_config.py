"""Settings are read strictly."""

from pathlib import Path

import pytest

from appliance.config import Config, load_config, write_config
from appliance.errors import BadFile


def test_settings_survive_being_written(tmp_path: Path) -> None:
    config = Config(home="/tmp/a b", camera="scene", scene='fi"lm.mp4', port=1, read_back_pin=4)
    write_config(tmp_path / "attune.toml", config)
    assert load_config(tmp_path / "attune.toml") == config


@pytest.mark.parametrize(
    "text", ["stealth = true", "port = 'x'", "camera = 'none'", "port = ", "\xff"]
)
def test_a_wrong_setting_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "attune.toml").write_text(text, encoding="latin-1")
    with pytest.raises(BadFile):
        load_config(tmp_path / "attune.toml")


def test_a_missing_file_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no settings file"):
        load_config(tmp_path / "attune.toml")
