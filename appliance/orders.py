"""What a service asks of one kit and of no other: signed orders, numbered in one row.

They lie at the store for the kit that they name, and sync brings each into the inbox once, in
turn. Whoever carries one out looks at its signature anew: sync may have been taken over.

    inbox/order-000001
"""

import re
from pathlib import Path

import msgspec

from appliance.consent import ServiceOrder
from appliance.errors import BadFile
from appliance.records.files import Fact, Home, Moment, one_of, paths_in
from appliance.records.signing import Verifier, open_note, split_note

LARGEST = 64 * 1024
"""Bytes: no order is longer, and no key file that one names."""

_NAME = re.compile(r"order-(?P<number>[0-9]{6})")


class Readmission(Fact, frozen=True, kw_only=True, tag="readmission/v1"):
    """The service lets a practitioner into a case again, on one kit (`appliance.readmitting`)."""

    number: int
    kit: str
    case: str
    practitioner: str
    """The name on the new card."""
    recipient: str
    """SHA-256 (hex) of its recipient."""
    key: str
    """The key file's name in the case, at the store."""
    sha256: str
    at: Moment


class Reset(Fact, frozen=True, kw_only=True, tag="reset/v1"):
    """The service asks for a kit to be set back (`appliance.resetting`)."""

    number: int
    kit: str
    unsent: bool = False
    """What the service has not confirmed may go as well."""
    at: Moment


Order = Readmission | ServiceOrder | Reset
_ORDER: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


def read_order(note: bytes) -> Order:
    """What a note asks for, its signature not looked at. Raises BadFile."""
    return one_of(_ORDER, split_note(_text(note))[0])


def signed_order(note: bytes, service: Verifier) -> Order:
    """What this service has signed. Raises BadFile, BadSignature."""
    return one_of(_ORDER, open_note(_text(note), [service])[0])


def order_path(home: Home, number: int) -> Path:
    """Where an order lies in the inbox."""
    return home.inbox / f"order-{number:06}"


def orders_in(home: Home) -> list[tuple[int, Path]]:
    """What lies in the inbox under a number, the lowest first."""
    named = ((_NAME.fullmatch(path.name), path) for path in paths_in(home.inbox, _NAME))
    return [(int(match["number"]), path) for match, path in named if match]


def _text(note: bytes) -> str:
    try:
        return note.decode()
    except UnicodeDecodeError as error:
        raise BadFile("This order is not text.") from error
