"""The kit's settings: one small TOML file, read strictly, the same for every process."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from appliance.errors import BadFile, BadInput
from appliance.records.files import Home

Fault = Literal[
    "camera-missing",
    "camera-does-not-start",
    "camera-fails",
    "camera-does-not-stop",
    "frames-stop",
    "sound-stops",
    "light-goes-out",
    "card-full",
    "card-broken",
    "card-read-only",
    "card-slow",
]


FAMILY = "family"
"""The scene that is drawn: see `firmware.cameras.family`."""
_PINS = range(2, 28)
"""0 and 1 belong to whatever is plugged onto the Pi."""


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What goes wrong in a kit whose camera is a scene, to see what it does then."""

    happen: tuple[Fault, ...] = ()
    after: Annotated[float, msgspec.Meta(ge=0)] = 3.0
    """Seconds into each film at which what goes wrong in the midst of one does so."""
    sound_ppm: Annotated[float, msgspec.Meta(ge=-1000, le=1000)] = 0.0
    """Millionths by which the sound's clock is fast."""
    sound_lost: Annotated[float, msgspec.Meta(ge=0, le=20)] = 0.0
    """Seconds of sound that are lost in the midst of each minute."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every setting with its default. An unknown or wrong one is refused by name."""

    home: str = "/var/lib/attune"
    run: str = "/run/attune"
    camera: Literal["picamera", "scene"] = "picamera"
    scene: str = ""
    """With the scene camera: `family` for an adult and a child who play, a film file by its path,
    or '' for the test card."""
    scene_seed: Annotated[int, msgspec.Meta(ge=0)] = 1
    """With the family: which of them; it sets who they are and what they do in which order."""
    hurry: bool = False
    """With the scene camera: film as fast as the card takes it, not as fast as time passes."""
    faults: Faults = Faults()
    """With the scene camera: what is to go wrong."""
    width: int = 1280
    height: int = 720
    frame_rate: Annotated[int, msgspec.Meta(ge=1, le=60)] | None = None
    """Pictures a second; left out, as many as suit the mains: see `pictures_a_second`."""
    bit_rate: Annotated[int, msgspec.Meta(ge=100_000)] | None = None
    """Bits a second of the picture; left out, as many as suit its size: see `bits_a_second`."""
    mains_hz: Literal[0, 50, 60] = 50
    """Of the lamps where it films: a camera that can shuns the bands of light that they draw. 0 for
    a place without mains."""
    upside_down: bool = False
    """Whether the camera is mounted so, with its cable up."""
    mirrored: bool = False
    """Whether it sees by way of a mirror."""
    focus: Annotated[float, msgspec.Meta(ge=0.1, le=100)] | None = None
    """Metres at which the lens is sharp, where it can be moved; left out, what suits a room."""
    microphone: str = ""
    """ALSA name of the microphone; '' for none. A scene brings its own sound."""
    segment_seconds: int = 30
    button_pin: int = 17
    light_pin: int = 27
    read_back_pin: int | None = None
    listen: str = "127.0.0.1"
    port: int = 8443
    names: tuple[str, ...] = ()
    """What else the page is called: host names and addresses of the kit's own networks."""
    language: str = "en"
    """What the page speaks: English, or a language whose catalogue the page has."""
    label: str = "/etc/attune/label.toml"
    """What the first start wrote down for the kit's label; see `systemd/first-boot`."""
    store: str = ""
    """Where sealed films go, as a URL; '' while the kit has no service to send to."""
    store_access: str = ""
    """The file with the store's pin and the kit's credential (`appliance.stores.access`); '' where
    systemd hands it over, or a folder needs none."""
    store_in_flight: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4
    """Files on their way at once; 1 for a slow line."""
    store_kilobits: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Sent in a second, on average, at most; 0 for as fast as can be."""
    store_hours: Annotated[
        str, msgspec.Meta(pattern=r"\A(|[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2})\Z")
    ] = ""
    """When films are sent, such as 18:00-07:00 by the kit's clock; '' for always."""
    emptying: bool = False
    """Whether a film may leave the card that its service was just seen to hold, on the order of a
    person of its team (`appliance.protocol.emptying`)."""
    base_networks: tuple[str, ...] = ()
    """Names of the connections that count as base while no family's case is armed. An Ethernet or
    USB network always does."""

    def __post_init__(self) -> None:
        if self.camera != "scene" and (self.hurry or self.faults != Faults()):
            raise ValueError("only a scene can hurry or have faults")
        pins = [self.button_pin, self.light_pin]
        pins += [self.read_back_pin] if self.read_back_pin is not None else []
        if len(set(pins)) < len(pins):
            raise ValueError("button, light and read-back each need a pin of their own")
        if any(pin not in _PINS for pin in pins):
            raise ValueError("pins are numbered 2 to 27, as the Pi's chip counts them (BCM)")

    @property
    def pictures_a_second(self) -> int:
        """Where none are set, one for each two waves of the mains: what bands lamps still draw then
        stand still, and 25 leave a dim room longer for each picture than 30."""
        return self.frame_rate or (30 if self.mains_hz == 60 else 25)

    @property
    def bits_a_second(self) -> int:
        """Where none are set, 5 million for 720p, and for other sizes in the measure in which an
        encoder needs more: by the points to the power of three quarters, a rule of thumb."""
        points = self.width * self.height / (1280 * 720)
        return self.bit_rate or max(round(50 * points**0.75) * 100_000, 100_000)

    @property
    def places(self) -> Home:
        return Home(Path(self.home), Path(self.run))


def load_config(path: Path) -> Config:
    """Read the settings at `path`. Raises BadFile with the name of the setting that is wrong."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Config, strict=True)
    except FileNotFoundError as error:
        raise BadFile(
            "There is no settings file %(path)s.", "Name one with --config.", path=path
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadFile(
            "The settings in %(path)s are not right: %(why)s.", path=path, why=error
        ) from error


def write_config(path: Path, config: Config) -> None:
    """Write `config` as TOML, settings left at their default left out."""
    lines = _lines(msgspec.structs.replace(config, faults=Faults()), Config())
    lines += ["[faults]", *_lines(config.faults, Faults())]
    path.write_text("\n".join(lines) + "\n")


def _lines(settings: Config | Faults, default: Config | Faults) -> list[str]:
    """What is not at its default. JSON's words, numbers, texts and lists are TOML's, too, but for
    the one letter that TOML wants escaped and JSON does not. Raises BadInput for half a letter."""
    try:
        return [
            f"{name} = {msgspec.json.encode(value).decode()}".replace("\x7f", r"\u007f")
            for name in settings.__struct_fields__
            if (value := getattr(settings, name)) != getattr(default, name)
        ]
    except UnicodeEncodeError as error:
        raise BadInput(
            "A setting has a letter that is not whole.",
            "A folder or file may have a name that is no text: give it another.",
        ) from error
