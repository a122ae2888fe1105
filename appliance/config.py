"""The kit's settings: one small TOML file, read strictly, the same for every process."""

from pathlib import Path
from typing import Literal

import msgspec

from appliance.errors import BadFile
from appliance.files import Home


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every setting with its default. An unknown or wrong one is refused by name."""

    home: str = "/var/lib/attune"
    run: str = "/run/attune"
    camera: Literal["picamera", "scene"] = "picamera"
    scene: str = ""
    """With the scene camera: a film file, or '' for the test card."""
    width: int = 1280
    height: int = 720
    frame_rate: int = 30
    bit_rate: int = 4_000_000
    microphone: str = ""
    """ALSA name of the microphone; '' for none. A scene brings its own sound."""
    segment_seconds: int = 30
    button_pin: int = 17
    light_pin: int = 27
    read_back_pin: int | None = None
    listen: str = "127.0.0.1"
    port: int = 8443
    store: str = ""
    """Where sealed films go, as a URL; '' while the kit has no service to send to."""

    @property
    def places(self) -> Home:
        return Home(Path(self.home), Path(self.run))


def load_config(path: Path) -> Config:
    """Read the settings at `path`. Raises BadFile with the name of the setting that is wrong."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Config, strict=True)
    except FileNotFoundError as error:
        raise BadFile(f"There is no settings file {path}.", "Name one with --config.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadFile(f"The settings in {path} are not right: {error}.") from error


def write_config(path: Path, config: Config) -> None:
    """Write `config` as TOML, settings left at their default left out."""
    lines = []
    for name in config.__struct_fields__:
        value = getattr(config, name)
        if value != getattr(Config(), name):
            text = str(value).lower() if isinstance(value, bool) else value
            lines.append(f"{name} = {msgspec.json.encode(text).decode()}")
    path.write_text("\n".join(lines) + "\n")
