"""Letting a practitioner in again who forgot the passphrase: the service's order, case by case.

At base the service seals the case's key to the practitioner's new card, in a file of its own at
the store, and signs an order for the kit that has the case: which case, which card, which file.
Sync brings both to the inbox, where the key file stays only until it was taken in, or its family
has withdrawn. The page checks all of it again, opens the key with the new card and lets its owner
in as a colleague is let in (`Cases.readmit`); the answer lies in the case, where sync sees it.

    inbox/order-000001              the order, one among the service's orders for this kit
    inbox/key-000001                the key file it names, sealed to the new card
    cases/<case>/readmitted/000001  what became of it
"""

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from appliance.cases import CaseRecord, Cases, OtherKey, is_withdrawn
from appliance.errors import BadFile, BadInput, BadSignature, CaseWithdrawn, Incomplete, NoMatch
from appliance.keys import Card, PrivateKeys
from appliance.orders import (
    LARGEST,
    Readmission,
    Reset,
    orders_in,
    read_order,
    signed_order,
)
from appliance.permits import Enrolled, recipient_digest
from appliance.receipts import KitCard
from appliance.records.files import (
    Fact,
    Home,
    checked_id,
    is_there,
    load_fact,
    paths_in,
    read_plain,
    save_fact,
)

_KEY_FILE = re.compile(r"identity-[0-9]{4}-[a-z2-7]{16}\.age")


class Refusal(Enum):
    """Why an order did not let anybody in. The page and the log use these codes."""

    UNREADABLE = "order-unreadable"
    NOT_SIGNED = "order-not-signed"
    OTHER_KIT = "order-for-other-kit"
    OUT_OF_TURN = "order-out-of-turn"
    NOT_ENROLLED = "card-not-enrolled"
    NO_SUCH_CASE = "no-such-case"
    WITHDRAWN = "case-withdrawn"
    KEY_UNREADABLE = "key-unreadable"
    OTHER_KEY = "other-key"

    @property
    def sentence(self) -> str:
        """What it means and what to do, for the page."""
        return _SENTENCES[self]


_SENTENCES = {
    Refusal.UNREADABLE: "An order that came to this kit cannot be read. Tell your service.",
    Refusal.NOT_SIGNED: "An order to let you in again was not signed by your service, or was "
    "altered. Nothing was done. Tell your service.",
    Refusal.OTHER_KIT: "An order to let you in again was made for another kit. Tell your service "
    "the number of this one.",
    Refusal.OUT_OF_TURN: "An old order to let somebody in came once more. Nothing was done. Tell "
    "your service.",
    Refusal.NOT_ENROLLED: "Your service let in a card that this kit does not know. Give it the "
    "card that this kit made for you.",
    Refusal.NO_SUCH_CASE: "Your service let you into a family's case that is not on this kit. It "
    "may be on another.",
    Refusal.WITHDRAWN: "One family has withdrawn meanwhile. Nothing of it opens any more, for "
    "anybody.",
    Refusal.KEY_UNREADABLE: "The key to one family's case was damaged on its way, or is not for "
    "your card. Ask your service to let you in again.",
    Refusal.OTHER_KEY: "The key that came is not the one of this family's case: the case may have "
    "a new one since. Let the kit send, then ask your service to let you in again.",
}


class Answer(Fact, frozen=True, kw_only=True, tag="readmitted/v1"):
    """What became of an order: in the case it was for, public."""

    number: int
    practitioner: str
    refusal: str = ""
    """Code of why not; '' where the practitioner is in."""


@dataclass(frozen=True)
class Answered:
    """An order that was looked at just now, and had not been before with this end."""

    case: str
    number: int
    refusal: Refusal | None


def key_file(number: int, card: Card) -> str:
    """What the key file for a card is called at the store: after the case's own file `number`,
    whose secrets it holds. No kit ever writes this name, so that none is in another's way."""
    return f"identity-{number:04}-{checked_id(card.name.rpartition('-')[2])}.age"


def judge(note: bytes, number: int, kit: str, enrolled: Enrolled) -> Readmission | Refusal | None:
    """An order from the inbox if it is to be believed, or why not; None if it is of another kind,
    or for nobody any more.

    Whatever lies there, sync may have been taken over: the signature comes before every other
    question that an order answers.
    """
    try:
        order = read_order(note)
    except BadFile:
        return Refusal.UNREADABLE
    if not isinstance(order, Readmission):
        return None
    try:
        signed_order(note, enrolled.service.verifying_key())
        checked_id(order.case)
    except BadSignature:
        return Refusal.NOT_SIGNED
    except BadFile:
        return Refusal.UNREADABLE
    if not _KEY_FILE.fullmatch(order.key):
        return Refusal.UNREADABLE
    if order.kit != kit:
        return Refusal.OTHER_KIT
    if order.number != number:
        return Refusal.OUT_OF_TURN
    if any(_is_for(order, card) for card in enrolled.practitioners):
        return order
    # Whom the service revoked since is let in nowhere, and nobody need be told.
    revoked = any(_is_for(order, card) for card in enrolled.former)
    return None if revoked else Refusal.NOT_ENROLLED


def orders_here(home: Home, kit: str, enrolled: Enrolled) -> dict[int, Readmission | Refusal]:
    """Every order of this kind in the inbox, by its number. Of several for one case and one card
    only the newest counts: the others' key files have made way for its own."""
    found: dict[int, Readmission | Refusal] = {}
    newest: dict[tuple[str, str], int] = {}
    for number, path in orders_in(home):
        try:
            order = judge(read_plain(path, LARGEST), number, kit, enrolled)
        except BadFile:
            order = Refusal.UNREADABLE
        if order is None:
            continue
        found[number] = order
        if isinstance(order, Readmission):
            found.pop(newest.get((order.case, order.practitioner), 0), None)
            newest[order.case, order.practitioner] = number
    return found


def open_orders(home: Home, kit: str, enrolled: Enrolled) -> list[Readmission]:
    """The orders whose key is still needed here: the case is here, open, and has no answer yet."""
    return [
        order
        for order in orders_here(home, kit, enrolled).values()
        if isinstance(order, Readmission)
        and _is_open(home.case(order.case))
        and not _answer_path(home, order.case, order.number).exists()
    ]


KEY_NAME = re.compile(r"key-.*", re.DOTALL)


def key_path(home: Home, number: int) -> Path:
    """Where the key file of an order lies in the inbox."""
    return home.inbox / f"key-{number:06}"


def key_waits(home: Home, case: str) -> bool:
    """True while the inbox holds a key of this case, or one of which nobody can say whose it is.

    After a withdrawal sync removes it with its next look."""
    for path in paths_in(home.inbox, KEY_NAME):
        try:
            note = read_plain(path.with_name(path.name.replace("key-", "order-")), LARGEST)
            order = read_order(note)
        except (BadFile, FileNotFoundError):
            return True
        if not isinstance(order, Reset) and order.case == case:
            return True
    return False


def has_come(home: Home, practitioner: str) -> bool:
    """True if something of the service waits here for this practitioner to unlock."""
    whose = _whose(home)
    return whose is not None and any(
        order.practitioner == practitioner and key_path(home, order.number).exists()
        for order in open_orders(home, whose[0].id, whose[1])
    )


def readmit(home: Home, cases: Cases, keys: PrivateKeys) -> list[Answered]:
    """Take in what the service sent for the practitioner with these keys; returns what is new.

    A key that has not come yet is waited for. Orders for a colleague are theirs to take in. Safe
    to call again, after a pulled plug too: an order is answered when its end is on the card.
    Raises NotPossible.
    """
    whose = _whose(home)
    if whose is None:
        return []
    kit, enrolled = whose
    answered = []
    for number, order in orders_here(home, kit.id, enrolled).items():
        if isinstance(order, Refusal):
            answered.append(Answered("", number, order))
            continue
        if not _is_for(order, keys.card()):
            continue
        path = _answer_path(home, order.case, number)
        before = _answer(path)
        if before is not None:
            continue
        try:
            refusal = _take_in(home, cases, keys, enrolled, order)
        except FileNotFoundError:
            continue  # The key is still on its way.
        answered.append(Answered(order.case, number, refusal))
        if refusal in (Refusal.NO_SUCH_CASE, Refusal.WITHDRAWN):
            continue  # What is not here, or is gone, has no place for an answer.
        path.parent.mkdir(mode=0o750, exist_ok=True)
        code = refusal.value if refusal else ""
        save_fact(path, Answer(number=number, practitioner=order.practitioner, refusal=code))
    return answered


def _take_in(
    home: Home, cases: Cases, keys: PrivateKeys, enrolled: Enrolled, order: Readmission
) -> Refusal | None:
    """Raises FileNotFoundError while the key is not here, NotPossible."""
    directory = home.case(order.case)
    if not is_there(directory / "case.json"):
        return Refusal.NO_SUCH_CASE
    if not _is_open(directory):
        return Refusal.WITHDRAWN
    verifiers = [card.verifying_key() for card in (*enrolled.practitioners, *enrolled.former)]
    try:
        sealed = read_plain(key_path(home, order.number), LARGEST)
        if hashlib.sha256(sealed).hexdigest() != order.sha256:
            return Refusal.KEY_UNREADABLE
        cases.readmit(order.case, sealed, keys, verifiers, enrolled)
    except CaseWithdrawn:
        return Refusal.WITHDRAWN
    except OtherKey:
        return Refusal.OTHER_KEY
    except (BadInput, Incomplete, NoMatch):
        return Refusal.KEY_UNREADABLE
    return None


def _whose(home: Home) -> tuple[KitCard, Enrolled] | None:
    kit = load_fact(home.kit / "kit.json", KitCard)
    enrolled = load_fact(home.kit / "enrolled.json", Enrolled)
    return (kit, enrolled) if kit and enrolled else None


def _is_for(order: Readmission, card: Card) -> bool:
    digest = recipient_digest(card.recipient)
    return (order.practitioner, order.recipient) == (card.name, digest)


def _is_open(directory: Path) -> bool:
    """False for a case that is not here, is withdrawn or cannot be read."""
    with suppress(BadFile):
        record = load_fact(directory / "case.json", CaseRecord)
        return record is not None and record.state != "withdrawn" and not is_withdrawn(directory)
    return False


def _answer_path(home: Home, case: str, number: int) -> Path:
    return home.case(case) / "readmitted" / f"{number:06}"


def _answer(path: Path) -> Answer | None:
    """None too for what cannot be read: then it is answered again."""
    with suppress(BadFile):
        return load_fact(path, Answer)
    return None
