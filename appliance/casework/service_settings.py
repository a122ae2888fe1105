"""How a service works: lengths, words and numbers that are its own, as one small file of settings.

Services that film families differ in how long a film is, how many cycles there are and who takes
part. None of it is code: a kit is given a file, and an unknown, missing or wrong field in it is
refused by name. `appliance/settings` has five to begin with. A setting can offer less than the kit
can do, never more: consent, the recorder's ceilings and withdrawal know nothing of it.
"""

from importlib import resources
from typing import Annotated, Literal, get_args

import msgspec

from appliance.errors import BadFile
from appliance.records.files import Home, read_plain, save

Offer = Literal["import", "copies", "online-review"]
OFFERS: tuple[Offer, ...] = get_args(Offer)

_Title = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
_Contact = Annotated[str, msgspec.Meta(max_length=200)]
_Minutes = Annotated[int, msgspec.Meta(ge=1, le=60)]
_Role = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
_Number = Annotated[int, msgspec.Meta(ge=1, le=20)]


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every setting of a service. The defaults are for a kit that was given no file."""

    title: _Title = "Video Interaction Guidance"
    name: _Contact = ""
    phone: _Contact = ""
    email: _Contact = ""
    address: _Contact = ""
    """What a family reads on receipt, leaflet and certificate to reach the service; '' is not said.
    A kit is delivered without: only the service knows them."""
    film_minutes: Annotated[tuple[_Minutes, ...], msgspec.Meta(min_length=1, max_length=8)] = (
        *(3, 5, 10, 20, 45),
    )
    """How long a film may be: what is offered when a consent is recorded."""
    roles: Annotated[tuple[_Role, ...], msgspec.Meta(min_length=1, max_length=30)] = (
        *("mother", "father", "grandparent", "carer", "the child", "brother or sister"),
        *("teacher", "social worker", "interpreter"),
    )
    """Words for who somebody is to the child; another can always be written."""
    places: Annotated[tuple[_Role, ...], msgspec.Meta(min_length=1, max_length=30)] = (
        *("at home", "elsewhere", "over a video call"),
    )
    """Words for where a family is filmed and looks at it; another can always be written."""
    rating_lowest: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    rating_highest: Annotated[int, msgspec.Meta(ge=1, le=10)] = 10
    """The scale on which a family says how near a goal is."""
    cycles_least: _Number = 3
    cycles_most: _Number = 3
    """How many cycles there usually are. More or fewer are never refused."""
    review_within_days: Annotated[int, msgspec.Meta(ge=1, le=60)] = 14
    """A film is looked at together by then."""
    review_minutes: Annotated[int, msgspec.Meta(ge=5, le=90)] = 60
    """How long a shared review usually takes; the page stays unlocked for 90 minutes at most."""
    clips: _Number = 3
    clip_seconds: Annotated[int, msgspec.Meta(ge=5, le=300)] = 60
    """How many clips there usually are for a review, and how long one is: a hint past that."""
    offers: tuple[Offer, ...] = OFFERS
    """What this service does beyond filming and looking at it together."""
    retention_days: Annotated[int, msgspec.Meta(ge=1, le=730)] = 60
    """How long films are kept after a course has ended."""
    warning_days: Annotated[int, msgspec.Meta(ge=0, le=90)] = 14
    """How long before that the page says what is about to be removed."""

    @property
    def unreachable(self) -> bool:
        """True while a family is told no way to reach it."""
        return not (self.phone.strip() or self.email.strip() or self.address.strip())

    @property
    def ratings(self) -> range:
        """Every point of the scale."""
        return range(self.rating_lowest, self.rating_highest + 1)

    def __post_init__(self) -> None:
        if list(self.film_minutes) != sorted(set(self.film_minutes)):
            raise ValueError("`film_minutes` must go from short to long")
        if self.rating_lowest >= self.rating_highest:
            raise ValueError("`rating_lowest` must be less than `rating_highest`")
        if self.cycles_least > self.cycles_most:
            raise ValueError("`cycles_least` must not be more than `cycles_most`")
        if self.warning_days > self.retention_days:
            raise ValueError("`warning_days` must not be more than `retention_days`")


def parse(data: bytes) -> Service:
    """Read a file of settings strictly. Raises BadFile with the name of the field that is wrong."""
    try:
        return msgspec.toml.decode(data, type=Service, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFile(
            "These settings are not right: %(why)s.",
            "Correct that field and add the file again. The kit keeps its old settings.",
            why=error,
        ) from error


def shipped() -> dict[str, bytes]:
    """The files that every kit has, by name."""
    folder = resources.files("appliance") / "settings"
    return {
        file.name.removesuffix(".toml"): file.read_bytes()
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".toml")
    }


def in_force(home: Home) -> Service:
    """What this kit was given, or the defaults. Raises BadFile if the file was damaged since."""
    try:
        return parse(read_plain(home.keys / "service.toml"))
    except FileNotFoundError:
        return Service()


def put_in_force(home: Home, data: bytes) -> Service:
    """Give the kit a file of settings. Raises BadFile, and then the kit stays as it was."""
    service = parse(data)
    save(home.keys / "service.toml", data)
    return service
