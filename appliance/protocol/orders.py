"""What is ordered, and what the service answers: signed notes that hold random ids and no word of a
family, so that they can travel and be checked without opening anything.

A practitioner signs what a family takes back. What a service asks of one kit is numbered: it lies
at the store for the kit that it names, and sync brings each into the inbox once, in turn. Whoever
carries one out checks its signature again: sync may have been taken over.

    inbox/order-000001
"""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from appliance.records.files import Fact, Home, Timestamp, checked_id, from_json, paths_in
from appliance.records.signing import fact_in

if TYPE_CHECKING:
    from appliance.protocol.cards import CardChain

LARGEST = 64 * 1024
"""Bytes: no order is longer, and no key file that one names."""

MOST_A_DAY = 3
"""Cases that one signer may end within a day before the service is asked, at base and by the
recorder: somebody may have another's key."""
MOST_FILMED_A_DAY = 5
"""Cases of which one signer may take films back within a day, likewise, those that they ended
among them."""

_NAME = re.compile("order-[0-9]{6}")


class CopiesOut(Fact, frozen=True, kw_only=True, tag="copies-out/v1"):
    """Copies that the family has: no withdrawal reaches them, and its certificate says so."""

    made: Timestamp
    files: int
    """0: what was written down of them cannot be read any more, so that nobody can count them."""
    locked: bool
    way: Literal["stick", "download", "share"]
    """`share`: sealed for a supervisor or colleague, who may have opened them."""


class Withdrawal(Fact, frozen=True, kw_only=True, tag="withdrawal/v1"):
    """The family has taken everything back, or the time for which it was kept is over. Signed by
    the practitioner who was unlocked."""

    id: str
    case: str
    kit: str
    at: Timestamp
    why: Literal["family", "retention"] = "family"
    copies: tuple[CopiesOut, ...] = ()
    held: Timestamp | None = None
    """With a hold: when it is looked at again. Everything ends at once, but removing waits."""


class FilmWithdrawal(Fact, frozen=True, kw_only=True, tag="film-withdrawal/v1"):
    """The family has taken one film back, with everything that was cut from it. Signed likewise."""

    id: str
    case: str
    kit: str
    film: str
    clips: tuple[str, ...]
    at: Timestamp


class ShareEnd(Fact, frozen=True, kw_only=True, tag="share-end/v1"):
    """What was shared with somebody (`casework.shares`) goes at this time. Signed likewise,
    before anything of it is made."""

    id: str
    case: str
    share: str
    films: tuple[str, ...]
    """What its moments were cut from: it goes with each of them."""
    at: Timestamp


class HoldNotice(Fact, frozen=True, kw_only=True, tag="hold-notice/v2"):
    """The public face of a hold: nothing of a case, or of one film, may be removed. Signed. It does
    not run out: it ends when it is lifted (`HoldEnd`)."""

    case: str
    film: str = ""
    """'' for everything of the case."""
    signer: str
    """The name of the key that signs it; '' where an older kit wrote it."""
    since: Timestamp | None
    """None where an older kit wrote it."""
    until: Timestamp
    """When somebody must look again whether it is still needed."""


class _FirstHoldNotice(Fact, frozen=True, kw_only=True, tag="hold-notice/v1"):
    """The same as it was written first."""

    case: str
    review: Timestamp


class HoldEnd(Fact, frozen=True, kw_only=True, tag="hold-end/v1"):
    """A hold is lifted. Signed."""

    case: str
    hold: str
    """Its name (`hold_name`)."""
    signer: str
    at: Timestamp


class ServiceOrder(Fact, frozen=True, kw_only=True, tag="service-order/v1"):
    """The service asks one kit to carry out a withdrawal that reached it in another way. Signed.

    `number` counts up for each kit: an order is carried out once, and an older one never.
    """

    number: int
    kit: str
    case: str
    film: str
    """One film; '' for everything."""
    at: Timestamp


class Readmission(Fact, frozen=True, kw_only=True, tag="readmission/v1"):
    """The service lets a practitioner into a case again, on one kit (`protocol.readmission`)."""

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
    at: Timestamp


class Reset(Fact, frozen=True, kw_only=True, tag="reset/v2"):
    """The service orders the factory reset of a kit (`appliance.factory_reset`). It counts beside
    an audit of the service's store that is younger."""

    number: int
    kit: str
    unsent: bool = False
    """What the service has not confirmed may go as well."""
    at: Timestamp


class FirstReset(Fact, frozen=True, kw_only=True, tag="reset/v1"):
    """The same as it was written first, when nobody looked through the store: it is read, and
    counts no more."""

    number: int
    kit: str
    unsent: bool = False
    at: Timestamp


class Tombstone(Fact, frozen=True, kw_only=True, tag="tombstone/v1"):
    """The service's answer to a withdrawal, signed: what it removed, and when."""

    order: str
    case: str
    at: Timestamp
    removed: tuple[str, ...]
    """Names of the key files, or of one film's files, removed at the store in every version."""
    whole: bool = True
    """False: it answers an order for a part of the case, which itself stays open."""
    held: bool = False
    """True: the case is closed, and its keys wait at the service for the end of a hold."""


_Hold = HoldNotice | _FirstHoldNotice
_HOLD: msgspec.json.Decoder[_Hold] = msgspec.json.Decoder(_Hold)


def read_hold(text: str) -> HoldNotice:
    """The public face of a hold, in either form. Raises BadFile."""
    hold = from_json(text, _HOLD)
    checked_id(hold.case)
    if isinstance(hold, HoldNotice):
        return hold
    return HoldNotice(case=hold.case, signer="", since=None, until=hold.review)


def hold_name(note: bytes) -> str:
    """What a hold is called: its content says so, and nobody else chooses it."""
    return hashlib.sha256(note).hexdigest()[:16]


AnyReset = Reset | FirstReset
Order = Readmission | ServiceOrder | Reset | FirstReset
_ORDER: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


def read_order(note: bytes) -> Order:
    """What a note asks for, its signature not looked at. Raises BadFile."""
    return fact_in(note, _ORDER)


def signed_order(note: bytes, service: "CardChain") -> Order:
    """What this service has signed. Raises BadFile, BadSignature."""
    return service.word(note, _ORDER)


def order_path(home: Home, number: int) -> Path:
    """Where an order lies in the inbox."""
    return home.inbox / f"order-{number:06}"


def orders_in(home: Home) -> list[tuple[int, Path]]:
    """What lies in the inbox under a number, the lowest first."""
    return [(int(path.name[-6:]), path) for path in paths_in(home.inbox, _NAME)]
