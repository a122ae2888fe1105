"""Letting a practitioner in again who forgot the passphrase: the service's order, case by case.

At base the service seals the case's key to the practitioner's new card, in a file of its own at
the store, and signs an order for the kit that has the case: which case, which card, which file.
Sync brings both to the inbox, where the key file stays only until it was taken in, or its family
has withdrawn. The page checks all of it again, opens the key with the new card and lets its owner
in as a colleague is let in (`Cases.admit`); the answer lies in the case, where sync sees it.

    inbox/order-000001              the order, one among the service's orders for this kit
    inbox/key-000001                the key file it names, sealed to the new card
    cases/<case>/readmitted/000001  what became of it
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.casework.closing import finish_withdrawal
from appliance.errors import BadFile, BadInput, CaseWithdrawn, Incomplete, NoMatch
from appliance.protocol.case_record import is_withdrawn
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.orders import LARGEST, Readmission
from appliance.protocol.readmission import (
    Answer,
    ReadmissionRefusal,
    answer_path,
    is_for,
    is_open,
    key_path,
    orders_here,
    this_kit,
)
from appliance.records.files import Home, is_there, load_fact, read_plain, save_fact
from appliance.vault.cases import Cases, OtherKey
from appliance.vault.keys import PrivateKeys


@dataclass(frozen=True)
class Answered:
    """An order that was looked at just now, and had not been before with this end."""

    case: str
    number: int
    refusal: ReadmissionRefusal | None


def readmit(home: Home, cases: Cases, keys: PrivateKeys) -> list[Answered]:
    """Take in what the service sent for the practitioner with these keys; returns what is new.

    A key that has not come yet is waited for. Orders for a colleague are theirs to take in. Safe
    to call again, after a pulled plug too: an order is answered when its end is on the card.
    Raises NotPossible.
    """
    whose = this_kit(home)
    if whose is None:
        return []
    kit, enrolled = whose
    answered = []
    for number, order in orders_here(home, kit.id, enrolled).items():
        if isinstance(order, ReadmissionRefusal):
            answered.append(Answered("", number, order))
            continue
        if not is_for(order, keys.card()):
            continue
        path = answer_path(home, order.case, number)
        if _answer(path) is not None:
            continue
        try:
            refusal = _take_in(home, cases, keys, enrolled, order)
        except FileNotFoundError:
            continue  # The key is still on its way.
        answered.append(Answered(order.case, number, refusal))
        if refusal in (ReadmissionRefusal.NO_SUCH_CASE, ReadmissionRefusal.WITHDRAWN):
            continue  # What is not here, or is gone, has no place for an answer.
        path.parent.mkdir(mode=0o750, exist_ok=True)
        code = refusal.value if refusal else ""
        save_fact(path, Answer(number=number, practitioner=order.practitioner, refusal=code))
    return answered


def _take_in(
    home: Home, cases: Cases, keys: PrivateKeys, enrolled: Enrolled, order: Readmission
) -> ReadmissionRefusal | None:
    """Raises FileNotFoundError while the key is not here, NotPossible."""
    directory = home.case(order.case)
    if not is_there(directory.record):
        return ReadmissionRefusal.NO_SUCH_CASE
    if not is_open(directory):
        return ReadmissionRefusal.WITHDRAWN
    verifiers = [card.verifying_key() for card in (*enrolled.practitioners, *enrolled.former)]
    try:
        sealed = read_plain(key_path(home, order.number), LARGEST)
        if hashlib.sha256(sealed).hexdigest() != order.sha256:
            return ReadmissionRefusal.KEY_UNREADABLE
        case = cases.open_anew(order.case, sealed, keys, verifiers)
        cases.admit(case, keys.card(), enrolled)
    except CaseWithdrawn:
        pass
    except OtherKey:
        return ReadmissionRefusal.OTHER_KEY
    except (BadInput, Incomplete, NoMatch):
        return ReadmissionRefusal.KEY_UNREADABLE
    # Asked last: a withdrawal that came meanwhile may have removed the keys before this one was
    # written.
    if is_withdrawn(directory):
        finish_withdrawal(directory)
    return None if is_open(directory) else ReadmissionRefusal.WITHDRAWN


def _answer(path: Path) -> Answer | None:
    """None too for what cannot be read: then it is answered again."""
    with suppress(BadFile):
        return load_fact(path, Answer)
    return None
