"""Orders on their way: films that were taken back here go to the service, its own orders come in.

An order for a film is sent until the service's signed answer is here. What the service asks this
kit to do lies in the inbox for the page and the recorder, who check its signature themselves. A key
file that lets a practitioner in again lies there only until the page has taken it in.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from appliance.errors import BadFile, BadInput, NotAFile
from appliance.factory_reset import ordered
from appliance.protocol.audits import AUDIT, StoreAudit
from appliance.protocol.cards import CardChain, KitCard
from appliance.protocol.case_record import (
    SHARE_END_NAME,
    film_order,
    films_withdrawn,
    is_film_withdrawn,
    is_withdrawn_share,
    share_end,
)
from appliance.protocol.enrolment import Enrolled, read_revocation
from appliance.protocol.hold_reasons import why_name, why_object
from appliance.protocol.objects import (
    NEWEST_AUDIT,
    case_object,
    hold_object,
    order_object,
    revocation_name,
    revocation_object,
    service_order_object,
    tombstone_object,
)
from appliance.protocol.orders import (
    AnyReset,
    FilmWithdrawal,
    HoldEnd,
    Order,
    ServiceOrder,
    ShareEnd,
    Tombstone,
    Withdrawal,
    hold_name,
    order_path,
    orders_in,
    read_hold,
    read_order,
    signed_order,
)
from appliance.protocol.readmission import KEY_NAME, key_path, open_orders
from appliance.protocol.receipts import receipt_path
from appliance.protocol.status import Problem
from appliance.records.audit import Log
from appliance.records.files import (
    ID,
    Home,
    checked_id,
    destroy,
    is_there,
    paths_in,
    plain_size,
    read_plain,
    read_text,
    save,
)
from appliance.records.signing import fact_in, split_note
from appliance.stores.store import Store, read_small
from appliance.stores.store import is_there as is_stored
from appliance.sync.plan import Rank, Reads, Sealed

_HOLD_NAME = re.compile(r"[0-9a-f]{16}(?:-lifted)?")
_Order = TypeVar("_Order", bound=Withdrawal | FilmWithdrawal | ShareEnd)


def film_orders(home: Home, case: str, unreadable: Callable[[str], object]) -> Iterator[Sealed]:
    """The orders of a case for films that were taken back on this kit, and for what was shared.
    `unreadable` is told of each that cannot be read; the others go."""
    directory = home.case(case)
    for folder, name in ((directory.film_orders, ID), (directory.share_ends, SHARE_END_NAME)):
        try:
            paths = paths_in(folder, name)
        except (BadFile, OSError):
            unreadable(f"cases/{case}/{folder.name}")
            continue
        for path in paths:
            try:
                of_film = folder == directory.film_orders
                order = film_order(directory, path.name) if of_film else share_end(path)
                # What the service itself ordered needs no way back to it.
                if isinstance(order, FilmWithdrawal | ShareEnd):
                    yield from an_order(home, path, case, type(order), order.id, unreadable)
            except (BadFile, OSError):
                unreadable(f"cases/{case}/{folder.name}/{path.name}")


def hold_notices(home: Home, case: str, unreadable: Callable[[str], object]) -> Iterator[Sealed]:
    """The holds that were placed on a case here, each with its reason, and how they ended."""
    directory = home.case(case)

    def placed(text: str) -> None:
        if read_hold(split_note(text)[0]).case != case:
            raise BadFile("This is another hold than it was.")

    def ended(text: str) -> None:
        if fact_in(text, HoldEnd).case != case:
            raise BadFile("This is another end of a hold than it was.")

    try:
        for path in [directory.hold, *paths_in(directory.lifted, _HOLD_NAME)]:
            if is_there(path):
                over = path.name.endswith("-lifted")
                name = path.name if over else hold_name(read_text(path).encode())
                fact = ended if over else placed
                where = hold_object(case, name)
                yield from sized(home, where, path, Rank.ORDER, case, fact, unreadable)
                why = directory.lifted / why_name(name)
                if not over and is_there(why):
                    where = why_object(case, name)
                    yield from sized(home, where, why, Rank.ORDER, case, None, unreadable)
    except (BadFile, OSError):
        unreadable(f"cases/{case}/hold")


def an_order(
    home: Home,
    path: Path,
    case: str,
    kind: type[_Order],
    order: str,
    unreadable: Callable[[str], object],
) -> Iterator[Sealed]:
    """One order to send, in the form that it is signed in and no other. Raises BadFile."""

    def fact(text: str) -> None:
        read = fact_in(text, kind)
        if (read.id, read.case) != (order, case):
            raise BadFile("This is another order than it was.")

    # After a hold: nothing that it keeps may be removed in between.
    for sealed in sized(home, order_object(order), path, Rank.ORDER, case, fact, unreadable):
        yield replace(sealed, place="order")


def sized(
    home: Home,
    name: str,
    path: Path,
    rank: Rank,
    case: str,
    fact: Reads | None,
    unreadable: Callable[[str], object],
) -> Iterator[Sealed]:
    """A file that may go, if it is one; none if it is gone by now."""
    place = path.relative_to(home.root).as_posix()
    try:
        yield Sealed(name, place, plain_size(path), rank, case, fact=fact)
    except FileNotFoundError:
        return
    except (BadFile, OSError):
        unreadable(place)


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
    gone = not is_there(home.root / sealed.path)
    return gone and bool(films_withdrawn(home.case(sealed.case)))


def asked_back(home: Home) -> set[str]:
    """Films that the service has ordered this kit to take back, carried out here by now or not."""
    films = set()
    for _number, path in orders_in(home):
        with suppress(BadFile, OSError):
            order = read_order(read_text(path).encode())
            if isinstance(order, ServiceOrder) and order.film:
                films.add(order.film)
    return films


def bring_in(home: Home, store: Store, kit: KitCard, enrolled: Enrolled, log: Log) -> list[Problem]:
    """Fetch the service's orders for this kit with the keys that they name, and its answers for
    single films and for shares. What it has not answered, and the store holds no more, goes again.

    The orders are numbered: each comes in once, in turn, and an old one never again, unless what
    lies here counts no more by the service's cards. Raises SendInterrupted, SendRefused.
    """
    service = enrolled.chain
    for case in cases_here(home):
        for sealed in hold_notices(home, case, lambda name: None):
            # The reason for a hold is gone for good once its family has withdrawn.
            if sealed.fact is not None or not something_at(store, tombstone_object(case)):
                offer_if_lost(home, store, sealed.object, log)
        for order in _orders_for_a_part(home, case):
            known = _answers(_here(home, order), order, case, service)
            note = read_there(store, tombstone_object(order))
            if note is None and known:
                offer_again(home, order)
            elif note is None:
                offer_if_lost(home, store, order_object(order), log)
            elif note is not None and not known and _answers(note, order, case, service):
                save(home.inbox / order, note)
                log.write("tombstone-received", case=case, order=order)
    problems = []
    _bring_anew(home, store, kit, service, log)
    number = len(orders_in(home)) + 1
    while something_at(store, service_order_object(kit.id, number)):
        # What is too long to be one, or no file, is false, and never taken for none.
        note = read_there(store, service_order_object(kit.id, number)) or b""
        asked = _order(note, service, kit, number)
        if asked is None:
            problems.append(
                Problem(object=service_order_object(kit.id, number), code="false-order")
            )
            break
        _take_order(home, asked, note, log)
        number += 1
    _bring_audit(home, store, service)
    return [*problems, *_bring_keys(home, store, kit, enrolled, log)]


def _bring_anew(home: Home, store: Store, kit: KitCard, service: CardChain, log: Log) -> None:
    """Fetch once more what lies here under a number and counts no more: the service has signed it
    anew, or a key that was stolen signed what took the number of its own."""
    for number, path in orders_in(home):
        try:
            known = read_plain(path)
        except (BadFile, OSError):
            continue
        if _order(known, service, kit, number) is not None:
            continue
        note = read_there(store, service_order_object(kit.id, number)) or b""
        asked = _order(note, service, kit, number)
        if asked is not None:
            # The key file that came may be another's.
            destroy(key_path(home, number))
            _take_order(home, asked, note, log)


def _order(note: bytes, service: CardChain, kit: KitCard, number: int) -> Order | None:
    """The service's order for this kit under this number; None for whatever else it is."""
    with suppress(BadInput):
        asked = signed_order(note, service)
        if (asked.kit, asked.number) == (kit.id, number):
            return asked
    return None


def _take_order(home: Home, asked: Order, note: bytes, log: Log) -> None:
    save(order_path(home, asked.number), note)
    about = {} if isinstance(asked, AnyReset) else {"case": asked.case}
    log.write("service-order-received", order=f"{asked.number:06}", **about)


def _bring_audit(home: Home, store: Store, service: CardChain) -> None:
    """Fetch what the service found at its store, for a kit that it ordered to be set back."""
    if not ordered(home):
        return
    note = read_there(store, NEWEST_AUDIT) or b""
    with suppress(BadInput):
        service.word(note, StoreAudit)
        if not is_there(home.inbox / AUDIT) or read_plain(home.inbox / AUDIT) != note:
            save(home.inbox / AUDIT, note)


def clear_keys(home: Home, kit: KitCard, enrolled: Enrolled) -> None:
    """Remove the key files in the inbox that are needed no more: the page has taken them in or
    refused them, another order has come since, or the family has withdrawn. Needs no network."""
    needed = {key_path(home, order.number) for order in open_orders(home, kit.id, enrolled)}
    for path in paths_in(home.inbox, KEY_NAME):
        if path not in needed:
            destroy(path)


def _bring_keys(
    home: Home, store: Store, kit: KitCard, enrolled: Enrolled, log: Log
) -> list[Problem]:
    problems = []
    for order in open_orders(home, kit.id, enrolled):
        path = key_path(home, order.number)
        # A family that has withdrawn elsewhere goes before every order.
        if path.exists() or something_at(store, tombstone_object(order.case)):
            continue
        name = case_object(order.case, order.key)
        sealed = read_there(store, name)
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
        # What a key signed that counts no more keeps the service's own word from nobody.
        if _revoked(_here(home, revocation_name(name)), enrolled.chain) == name:
            continue
        note = read_there(store, revocation_object(name))
        if note is None:
            continue
        if _revoked(note, enrolled.chain) == name:
            save(home.inbox / revocation_name(name), note)
            log.write("revocation-received", practitioner=name)
        else:
            problems.append(Problem(object=revocation_object(name), code="false-order"))
    return problems


def _revoked(note: bytes, service: CardChain) -> str:
    """Whom the service has revoked by this note; '' where it is not its word."""
    with suppress(BadInput):
        return read_revocation(note, service).practitioner
    return ""


def read_there(store: Store, name: str) -> bytes | None:
    """A small object, None if there is none. What is no file is none of ours, as b"": whoever has a
    kit's way into a folder can make a directory there, and it must hold nothing else up."""
    try:
        return read_small(store, name)
    except NotAFile:
        return b""


def something_at(store: Store, name: str) -> bool:
    """True if anything has this name at the store."""
    try:
        return is_stored(store, name)
    except NotAFile:
        return True


def is_answered(home: Home, order: str, service: CardChain) -> bool:
    """True if the service's answer is here, and waits for no hold to end. One that was signed with
    a key that counts no more comes in again, signed anew."""
    with suppress(FileNotFoundError, BadInput):
        return not service.word(read_text(home.inbox / order), Tombstone).held
    return False


def offer_again(home: Home, order: str) -> None:
    """Send an order once more, whose answer was here and is at the store no more: it was restored
    from a copy, or somebody removed both."""
    receipt_path(home, order_object(order)).unlink(missing_ok=True)


def offer_if_lost(home: Home, store: Store, name: str, log: Log) -> bool:
    """Send an order or a hold once more that went, and is at the store no more: it came back from a
    copy of before, and the service may never have seen this. True if it goes again."""
    receipt = receipt_path(home, name)
    if not receipt.exists() or something_at(store, name):
        return False
    log.write("lost-there", object=name)
    receipt.unlink(missing_ok=True)
    return True


def _orders_for_a_part(home: Home, case: str) -> list[str]:
    """The ids of a case's orders for single films, and for what was shared."""
    directory = home.case(case)
    ids = []
    with suppress(BadFile, OSError):
        for film in films_withdrawn(directory):
            # One that cannot be read must not keep the answers to the others away.
            with suppress(BadFile, OSError):
                order = film_order(directory, film)
                if isinstance(order, FilmWithdrawal):
                    ids.append(checked_id(order.id))
    with suppress(BadFile, OSError):
        for path in paths_in(directory.share_ends, SHARE_END_NAME):
            with suppress(BadFile, OSError):
                ids.append(checked_id(share_end(path).id))
    return ids


def cases_here(home: Home) -> list[str]:
    """Where that cannot be told, `look` says so."""
    with suppress(BadFile, OSError):
        return [path.name for path in paths_in(home.cases, ID)]
    return []


def _here(home: Home, order: str) -> bytes:
    with suppress(FileNotFoundError, BadFile):
        return read_plain(home.inbox / order)
    return b""


def _answers(note: bytes, order: str, case: str, service: CardChain) -> bool:
    try:
        answer = service.word(note, Tombstone)
    except BadInput:
        return False
    return (answer.order, answer.case) == (order, case)
