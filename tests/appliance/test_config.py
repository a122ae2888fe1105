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
        Config(camera="scene", scene="family", scene_seed=7),
    ):
        write_config(path, config)
        assert load_config(path) == config


@pytest.mark.parametrize(
    "text",
    ["stealth = true", "scene_seed = -1", "port = 'x'", "camera = 'none'", "port = ", "\xff"],
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


@pytest.mark.parametrize(
    ("settings", "pictures"),
    [
        ("", 25),
        ("mains_hz = 50", 25),
        ("mains_hz = 60", 30),
        ("mains_hz = 0", 25),
        ("mains_hz = 60\nframe_rate = 24", 24),
    ],
)
def test_a_film_has_the_rate_that_suits_the_mains_if_no_other_is_set(
    tmp_path: Path, settings: str, pictures: int
) -> None:
    (tmp_path / "attune.toml").write_text(settings)
    assert load_config(tmp_path / "attune.toml").pictures_a_second == pictures


@pytest.mark.parametrize(
    ("size", "bits"),
    [((1280, 720), 5_000_000), ((1920, 1080), 9_200_000), ((320, 180), 600_000), ((2, 2), 100_000)],
)
def test_a_larger_picture_gets_more_bits_if_no_number_is_set(
    size: tuple[int, int], bits: int
) -> None:
    assert Config(width=size[0], height=size[1]).bits_a_second == bits
    assert Config(width=size[0], height=size[1], bit_rate=123_456).bits_a_second == 123_456


@pytest.mark.parametrize("text", ["frame_rate = 0", "frame_rate = 61", "bit_rate = 0"])
def test_a_rate_that_no_film_has_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "attune.toml").write_text(text)
    with pytest.raises(BadFile, match="rate"):
        load_config(tmp_path / "attune.toml")
