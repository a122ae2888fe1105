"""Orders on their way: films that were taken back here go to the service, its own orders come in.

An order for a film is sent until the service's signed answer is here. What the service asks this
kit to do lies in the inbox for the page and the recorder, who check its signature themselves. A key
file that lets a practitioner in again lies there only until the page has taken it in.
"""

import hashlib
from contextlib import suppress

from appliance.audit import Log
from appliance.consent import FilmWithdrawal, Tombstone
from appliance.errors import BadFile, BadInput
from appliance.files import ID, Home, checked_id, destroy, from_json, save
from appliance.keys import Card
from appliance.orders import Reset, order_path, orders_in, signed_order
from appliance.permits import Enrolled, read_revocation
from appliance.readmitting import key_path, open_orders
from appliance.receipts import (
    KitCard,
    Problem,
    case_object,
    order_object,
    revocation_name,
    revocation_object,
    service_order_object,
    tombstone_object,
)
from appliance.shares import is_withdrawn_share, share_orders
from appliance.signing import open_note
from appliance.stores import Store, is_there, read_small
from appliance.sync.plan import Rank, Sealed
from appliance.withdrawing import film_order, films_withdrawn, is_film_withdrawn


def film_orders(home: Home, case: str) -> list[Sealed]:
    """The orders of a case for films that were taken back on this kit, and for what was shared.
    Raises BadFile."""
    found = []
    for film in films_withdrawn(home.case(case)):
        order = film_order(home.case(case), film)
        # What the service itself ordered needs no way back to it.
        if isinstance(order, FilmWithdrawal):
            path = f"cases/{case}/withdrawn/{film}"
            size = (home.root / path).stat().st_size
            found.append(Sealed(order_object(order.id), path, size, Rank.ORDER, case))
    for ends, share_end in share_orders(home.case(case)):
        path = f"cases/{case}/ends/{ends.name}"
        name = order_object(checked_id(share_end.id))
        found.append(Sealed(name, path, ends.stat().st_size, Rank.ORDER, case))
    return found


def taken_back(home: Home, sealed: Sealed) -> bool:
    """True if this file belongs to a film that was taken back or went with one, or to a share that
    has ended."""
    if sealed.rank is Rank.ORDER or not sealed.case:
        return False
    folder, name, *_ = sealed.path.split("/")
    if folder == "recordings":
        return is_film_withdrawn(home.case(sealed.case), name)
    if sealed.path.split("/")[2] == "shares":
        return is_withdrawn_share(home.case(sealed.case), sealed.path.split("/")[3])
    gone = not (home.root / sealed.path).exists()
    return gone and bool(films_withdrawn(home.case(sealed.case)))


def bring_in(home: Home, store: Store, kit: KitCard, enrolled: Enrolled, log: Log) -> list[Problem]:
    """Fetch the service's orders for this kit with the keys that they name, and its answers for
    single films.

    The orders are numbered: each comes in once, in turn, and an old one never again. Raises
    SendInterrupted, SendRefused.
    """
    service = enrolled.service
    for case in sorted(path.name for path in home.cases.glob("*") if ID.fullmatch(path.name)):
        for order in _unanswered(home, case):
            note = read_small(store, tombstone_object(order))
            if note is not None and _answers(note, order, case, service):
                save(home.inbox / order, note)
                log.write("tombstone-received", case=case, order=order)
    problems = []
    number = len(orders_in(home)) + 1
    while is_there(store, service_order_object(kit.id, number)):
        # What is too long to be one is false, and never taken for none.
        note = read_small(store, service_order_object(kit.id, number)) or b""
        asked = None
        with suppress(BadInput):
            asked = signed_order(note, service.verifying_key())
        if asked is None or (asked.kit, asked.number) != (kit.id, number):
            problems.append(
                Problem(object=service_order_object(kit.id, number), code="false-order")
            )
            break
        save(order_path(home, number), note)
        about = {} if isinstance(asked, Reset) else {"case": asked.case}
        log.write("service-order-received", order=f"{number:06}", **about)
        number += 1
    return [*problems, *_bring_keys(home, store, kit, enrolled, log)]


def clear_keys(home: Home, kit: KitCard, enrolled: Enrolled) -> None:
    """Remove the key files in the inbox that are needed no more: the page has taken them in or
    refused them, another order has come since, or the family has withdrawn. Needs no network."""
    needed = {key_path(home, order.number) for order in open_orders(home, kit.id, enrolled)}
    for path in home.inbox.glob("key-*"):
        if path not in needed:
            destroy(path)


def _bring_keys(
    home: Home, store: Store, kit: KitCard, enrolled: Enrolled, log: Log
) -> list[Problem]:
    problems = []
    for order in open_orders(home, kit.id, enrolled):
        path = key_path(home, order.number)
        # A family that has withdrawn elsewhere goes before every order.
        if path.exists() or is_there(store, tombstone_object(order.case)):
            continue
        name = case_object(order.case, order.key)
        sealed = read_small(store, name)
        if sealed is not None and hashlib.sha256(sealed).hexdigest() == order.sha256:
            save(path, sealed)
            log.write("case-key-received", case=order.case, order=f"{order.number:06}")
        else:
            problems.append(Problem(object=name, code="false-key"))
    return problems


def hear_revocations(home: Home, store: Store, enrolled: Enrolled, log: Log) -> list[Problem]:
    """Fetch the service's word on those practitioners of this kit whom it revoked.

    Raises SendInterrupted, SendRefused.
    """
    problems = []
    for name in [card.name for card in enrolled.practitioners]:
        if (home.inbox / revocation_name(name)).exists():
            continue
        note = read_small(store, revocation_object(name))
        if note is None:
            continue
        try:
            named = read_revocation(note.decode(), enrolled.service).practitioner
        except (BadInput, UnicodeDecodeError):
            named = ""
        if named == name:
            save(home.inbox / revocation_name(name), note)
            log.write("revocation-received", practitioner=name)
        else:
            problems.append(Problem(object=revocation_object(name), code="false-order"))
    return problems


def _unanswered(home: Home, case: str) -> list[str]:
    try:
        orders = [film_order(home.case(case), film) for film in films_withdrawn(home.case(case))]
    except BadFile:
        return []
    ids = [checked_id(order.id) for order in orders if isinstance(order, FilmWithdrawal)]
    return [order for order in ids if not (home.inbox / order).exists()]


def _answers(note: bytes, order: str, case: str, service: Card) -> bool:
    try:
        text, _ = open_note(note.decode(), [service.verifying_key()])
        answer = from_json(text, Tombstone)
    except (BadInput, UnicodeDecodeError):
        return False
    return (answer.order, answer.case) == (order, case)
