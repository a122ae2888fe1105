"""The service's orders to let a practitioner in again, and what became of each: no key is needed.

    inbox/order-000001              the order, one among the service's orders for this kit
    inbox/key-000001                the key file it names, sealed to the new card
    cases/<case>/readmitted/000001  what became of it

How somebody is let in is `appliance.casework.readmission`.
"""

import re
from contextlib import suppress
from pathlib import Path

from appliance.errors import BadFile, BadSignature, Reason
from appliance.protocol.cards import Card, KitCard
from appliance.protocol.case_record import CaseRecord, is_withdrawn
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.orders import (
    LARGEST,
    AnyReset,
    Readmission,
    orders_in,
    read_order,
    signed_order,
)
from appliance.protocol.permits import recipient_digest
from appliance.records.files import (
    CaseFolder,
    Fact,
    Home,
    checked_id,
    load_fact,
    paths_in,
    read_plain,
)

_KEY_FILE = re.compile(r"identity-[0-9]{4}-[a-z2-7]{16}\.age")
KEY_NAME = re.compile(r"key-.*", re.DOTALL)


class ReadmissionRefusal(Reason):
    """Why an order did not let anybody in. The page and the log use these codes."""

    UNREADABLE = (
        "order-unreadable",
        "A request from your service cannot be read. Tell your service.",
    )
    NOT_SIGNED = (
        "order-not-signed",
        "A request to let you back in was not signed by your service, or was changed. "
        "Nothing was done. Tell your service.",
    )
    OTHER_KIT = (
        "order-for-other-kit",
        "A request to let you back in was made for another kit. Tell your service the "
        "number of this one.",
    )
    OUT_OF_TURN = (
        "order-out-of-turn",
        "An old request to let someone in came again. Nothing was done. Tell your service.",
    )
    NOT_ENROLLED = (
        "card-not-enrolled",
        "Your service let in an ID file that this kit does not know. Give it the ID file "
        "that this kit made for you.",
    )
    NO_SUCH_CASE = (
        "no-such-case",
        "Your service let you in to a family that is not on this kit. They may be on another.",
    )
    WITHDRAWN = (
        "case-withdrawn",
        "One family has withdrawn consent since then. No one can open their films any more.",
    )
    KEY_UNREADABLE = (
        "key-unreadable",
        "The key to one family's films was damaged on its way, or is not for your ID "
        "file. Ask your service to let you in again.",
    )
    OTHER_KEY = (
        "other-key",
        "The key that came is not the one for this family. They may have a new one. "
        "Upload from this kit, then ask your service to let you in again.",
    )


class Answer(Fact, frozen=True, kw_only=True, tag="readmitted/v1"):
    """What became of an order: in the case it was for, public."""

    number: int
    practitioner: str
    refusal: str = ""
    """Code of why not; '' where the practitioner is in."""


def key_file(number: int, card: Card) -> str:
    """What the key file for a card is called at the store: after the case's own file `number`,
    whose secrets it holds. No kit ever writes this name, so that none is in another's way."""
    return f"identity-{number:04}-{checked_id(card.name.rpartition('-')[2])}.age"


def judge(
    note: bytes, number: int, kit: str, enrolled: Enrolled
) -> Readmission | ReadmissionRefusal | None:
    """An order from the inbox if it is to be believed, or why not; None if it is of another kind,
    or for nobody any more.

    Whatever lies there, sync may have been taken over: the signature comes before every other
    question that an order answers.
    """
    try:
        order = read_order(note)
    except BadFile:
        return ReadmissionRefusal.UNREADABLE
    if not isinstance(order, Readmission):
        return None
    try:
        signed_order(note, enrolled.chain)
        checked_id(order.case)
    except BadSignature:
        return ReadmissionRefusal.NOT_SIGNED
    except BadFile:
        return ReadmissionRefusal.UNREADABLE
    if not _KEY_FILE.fullmatch(order.key):
        return ReadmissionRefusal.UNREADABLE
    if order.kit != kit:
        return ReadmissionRefusal.OTHER_KIT
    if order.number != number:
        return ReadmissionRefusal.OUT_OF_TURN
    if any(is_for(order, card) for card in enrolled.practitioners):
        return order
    # Whom the service revoked since is let in nowhere, and nobody need be told.
    revoked = any(is_for(order, card) for card in enrolled.former)
    return None if revoked else ReadmissionRefusal.NOT_ENROLLED


def orders_here(
    home: Home, kit: str, enrolled: Enrolled
) -> dict[int, Readmission | ReadmissionRefusal]:
    """Every order of this kind in the inbox, by its number. Of several for one case and one card
    only the newest counts: the others' key files have made way for its own."""
    found: dict[int, Readmission | ReadmissionRefusal] = {}
    newest: dict[tuple[str, str], int] = {}
    for number, path in orders_in(home):
        try:
            order = judge(read_plain(path, LARGEST), number, kit, enrolled)
        except BadFile:
            order = ReadmissionRefusal.UNREADABLE
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
        and is_open(home.case(order.case))
        and not answer_path(home, order.case, order.number).exists()
    ]


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
        if not isinstance(order, AnyReset) and order.case == case:
            return True
    return False


def has_come(home: Home, practitioner: str) -> bool:
    """True if something of the service waits here for this practitioner to unlock."""
    whose = this_kit(home)
    return whose is not None and any(
        order.practitioner == practitioner and key_path(home, order.number).exists()
        for order in open_orders(home, whose[0].id, whose[1])
    )


def this_kit(home: Home) -> tuple[KitCard, Enrolled] | None:
    """Its card and whom it obeys, None before it is set up."""
    kit = load_fact(home.kit_card, KitCard)
    enrolled = load_fact(home.enrolled, Enrolled)
    return (kit, enrolled) if kit and enrolled else None


def is_for(order: Readmission, card: Card) -> bool:
    """True if the order is for the owner of this very card."""
    digest = recipient_digest(card.recipient)
    return (order.practitioner, order.recipient) == (card.name, digest)


def is_open(directory: CaseFolder) -> bool:
    """False for a case that is not here, is withdrawn or cannot be read."""
    with suppress(BadFile):
        record = load_fact(directory.record, CaseRecord)
        return record is not None and record.state != "withdrawn" and not is_withdrawn(directory)
    return False


def answer_path(home: Home, case: str, number: int) -> Path:
    """Where it stands what became of an order."""
    return home.case(case).readmitted / f"{number:06}"
