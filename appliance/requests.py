"""What the processes say to one another, each in a file of its own directory.

A request is one fact in `requests/web/<id>.json`, written by the page and read by the recorder,
which answers in its live status. The page may ask for anything here and the recorder may believe
none of it: a stop needs no proof, everything else carries a signature or waits for the button.
"""

from pathlib import Path
from typing import Literal

import msgspec

from appliance.errors import BadFile
from appliance.keys import Card
from appliance.records.files import Fact, Home, Moment, one_of, read_plain, save_fact

FRESH_SECONDS = 60.0
"""An older request is not carried out: it was meant for a moment that has passed."""


class Stop(Fact, frozen=True, kw_only=True, tag="stop/v1"):
    """End the film now. Anyone at a paired page may ask."""

    id: str
    boot: str
    boottime: float


class Enrol(Fact, frozen=True, kw_only=True, tag="enrol/v1"):
    """Obey this service and this practitioner: carried out only by a press within 60 s."""

    id: str
    boot: str
    boottime: float
    service: Card
    practitioner: Card
    ceilings: str = ""
    """The service's signed `appliance.permits.Ceilings`; '' leaves those that are in force."""


class Renew(Fact, frozen=True, kw_only=True, tag="renew/v1"):
    """A signed `appliance.permits.Renewed`: carried out only by a press within 60 s."""

    id: str
    boot: str
    boottime: float
    note: str


class Framing(Fact, frozen=True, kw_only=True, tag="framing/v1"):
    """'Let me see now': an unlocked practitioner's word, signed, for one kit and for a minute."""

    kit: str
    boot: str
    boottime: float


class Preview(Fact, frozen=True, kw_only=True, tag="preview/v1"):
    """Open the camera for framing, or close it. It opens only with a permit in force, is closed by
    any press and after two minutes, and is seen at `Home.preview` meanwhile."""

    id: str
    boot: str
    boottime: float
    open: bool
    note: str = ""
    """A signed `Framing`; to close it needs none. A page that is locked may not look."""


class Remove(Fact, frozen=True, kw_only=True, tag="remove/v1"):
    """Take films off the card, as a signed order says: a `Withdrawal` or a `FilmWithdrawal` of a
    practitioner of that case, or a `ServiceOrder` (all in `appliance.consent`)."""

    id: str
    boot: str
    boottime: float
    note: str


class LetIn(Fact, frozen=True, kw_only=True, tag="let-in/v1"):
    """Somebody joined a case: a signed `appliance.permits.Joined`."""

    id: str
    boot: str
    boottime: float
    note: str


class SetTime(Fact, frozen=True, kw_only=True, tag="set-time/v1"):
    """A signed `appliance.records.clock.Vouch`."""

    id: str
    boot: str
    boottime: float
    note: str


class CorrectTime(Fact, frozen=True, kw_only=True, tag="correct-time/v1"):
    """A signed `appliance.records.clock.Correction`: carried out only by a press within 60 s."""

    id: str
    boot: str
    boottime: float
    note: str


class FactoryReset(Fact, frozen=True, kw_only=True, tag="factory-reset/v1"):
    """A signed `appliance.resetting.Reset`: carried out only by a press within 60 s."""

    id: str
    boot: str
    boottime: float
    note: str


NeedsPress = Enrol | Renew | CorrectTime | FactoryReset
Request = Stop | NeedsPress | SetTime | Preview | Remove | LetIn
_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_LARGEST_REQUEST = 256 * 1024
"""Bytes. The largest we write carries two cards, of 3 KiB each, or a signed order with the copies
that a family has."""


def read_request(path: Path) -> Request:
    """The request in a file, read strictly. Raises BadFile."""
    try:
        request = one_of(_REQUEST, read_plain(path, _LARGEST_REQUEST))
    except (OSError, BadFile) as error:
        raise BadFile(
            "The request %(name)s could not be read: %(why)s.", name=path.name, why=error
        ) from error
    if path.name != f"{request.id}.json":
        raise BadFile("The request %(name)s carries another name inside.", name=path.name)
    return request


def place_request(home: Home, request: Request) -> str:
    """Put a request where the recorder notices it; returns its id, under which it is answered."""
    save_fact(home.web_requests / f"{request.id}.json", request)
    return request.id


Answer = Literal["done", "waiting", "refused", "timed-out"]


class SoundLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How loud it is, in dB: 0 is the loudest there can be, -90.3 is silence."""

    peak: float
    rms: float
    """Both of the last quarter of a second."""
    loudest: float
    """The highest peak of the last three seconds: who speaks makes pauses."""


class RecorderStatus(Fact, frozen=True, kw_only=True, tag="recorder-status/v1"):
    """What the recorder is doing, for the page. In memory only, replaced as a whole."""

    kit: str
    verifier: str
    """The kit's own verifying key, so that the page can show and check it."""
    boot: str
    boottime: float
    """When this was written: the page says so when it is more than 3 s old."""
    state: str
    light: str
    """Name of the pattern the light is showing."""
    lit: bool
    lamp_proven: bool
    """True where a wire reads the lamp back."""
    clock: str
    now: Moment | None
    other_time: Moment | None = None
    """What a machine's clock said when somebody vouched for quite another time."""
    reason: str
    """Code of the last refusal or fault, '' when there is none to show."""
    case: str
    permit: str
    recording: str
    """The film under way, or the last one of this boot."""
    limit: float
    remaining: float
    """Seconds of the film under way."""
    frames_in: int
    """Frames the camera gave."""
    frames_missed: int = 0
    """Frames that the camera left out, as the times of the others show."""
    frames_out: int
    """Frames sealed and on the card."""
    segments: int
    bytes_sealed: int
    removable: float = 0.0
    """Seconds in which holding the button for 5 s still removes the last film; 0 for none."""
    ended: str
    """Why the last film ended, '' while none has."""
    sound: SoundLevel | None = None
    """How loud it is while a film is made or framed; None while nothing is heard."""
    with_sound: bool = False
    """Whether what is filmed or framed now is to be heard as well."""
    minutes_free: float
    """Room left on the card, in minutes of film."""
    camera: str
    virtual: bool
    """True where button and light are on the page because there is no hardware."""
    timings_ms: dict[str, float]
    """On the last film: release_to_light, release_to_camera, release_to_sealed, stop_to_closed."""
    answers: dict[str, Answer]
    """The requests of this boot and what became of them."""
