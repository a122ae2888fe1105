"""What the page asks of the recorder, each request in a file of its own.

A request is one fact in `requests/web/<id>.json`, written by the page and read by the recorder,
which answers in its live status. The page may ask for anything here and the recorder may believe
none of it: a stop needs no proof, everything else carries a signature or waits for the button.
"""

from pathlib import Path

import msgspec

from appliance.errors import BadFile
from appliance.protocol.cards import Card
from appliance.records.files import Fact, Home, from_json, read_plain, save_fact

FRESH_SECONDS = 60.0
"""An older request is not carried out: it was meant for a moment that has passed."""


class _Asked(Fact, frozen=True, kw_only=True):
    """Any request: its id, and when it was made."""

    id: str
    boot: str
    boottime: float


class _Signed(_Asked, frozen=True, kw_only=True):
    """A request that carries its proof, a signed note."""

    note: str


class Stop(_Asked, frozen=True, kw_only=True, tag="stop/v1"):
    """End the film now. Anyone at a paired page may ask."""


class Enrol(_Asked, frozen=True, kw_only=True, tag="enrol/v1"):
    """Obey this service and this practitioner: carried out only by a press within 60 s."""

    service: Card
    practitioner: Card
    ceilings: str = ""
    """The service's signed `permits.Ceilings`; '' leaves those that are in force."""
    cards: tuple[str, ...] = ()
    """The service's signed cards from the second on, as far as they were brought."""


class Renew(_Signed, frozen=True, kw_only=True, tag="renew/v1"):
    """A signed `appliance.protocol.permits.Renewed`: carried out only by a press within 60 s."""


class Framing(Fact, frozen=True, kw_only=True, tag="framing/v1"):
    """'Let me see now': an unlocked practitioner's word, signed, for one kit and for a minute."""

    kit: str
    boot: str
    boottime: float


class Preview(_Asked, frozen=True, kw_only=True, tag="preview/v1"):
    """Open the camera for framing, or close it. It opens only with a permit in force, is closed by
    any press and after two minutes, and is seen at `Home.preview` meanwhile."""

    open: bool
    note: str = ""
    """A signed `Framing`; to close it needs none. A page that is locked may not look."""
    closely: bool = False
    """Open as it is, give the next picture whole as well, at `Home.close_look`."""


class Remove(_Signed, frozen=True, kw_only=True, tag="remove/v1"):
    """Take films off the card, as a signed order says: a `Withdrawal` or a `FilmWithdrawal` of a
    practitioner of that case, or a `ServiceOrder` (all in `protocol.orders`)."""


class LetIn(_Signed, frozen=True, kw_only=True, tag="let-in/v1"):
    """Somebody joined a case: a signed `appliance.protocol.permits.Joined`."""


class SetTime(_Signed, frozen=True, kw_only=True, tag="set-time/v1"):
    """A signed `appliance.records.clock.Vouch`."""


class CorrectTime(_Signed, frozen=True, kw_only=True, tag="correct-time/v1"):
    """A signed `appliance.records.clock.Correction`: carried out only by a press within 60 s."""


class FactoryReset(_Signed, frozen=True, kw_only=True, tag="factory-reset/v1"):
    """A signed `protocol.orders.Reset`: carried out only by a press within 60 s."""


NeedsPress = Enrol | Renew | CorrectTime | FactoryReset
Request = Stop | NeedsPress | SetTime | Preview | Remove | LetIn
_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_LARGEST_REQUEST = 256 * 1024
"""Bytes. Our largest carry two cards, of 3 KiB each, or an order with the copies a family has."""


def read_request(path: Path) -> Request:
    """The request in a file, read strictly. Raises BadFile."""
    try:
        request = from_json(read_plain(path, _LARGEST_REQUEST), _REQUEST)
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
