"""Carrying out withdrawals at the store: once each, and to the end whatever is cut between.

For each order: check who signed it; write down which key files there are; remove them; and only
then sign a tombstone. An order without a tombstone is worked again from the start. The films
themselves stay: without a key they are closed to everybody, the service included. Of a single film
that was taken back, whose case stays open, the sealed files themselves are removed. An order that
says that there is a hold closes its case, and its keys wait for the order that follows. What was
shared with somebody goes on the day that its order names.

The service may order a withdrawal itself: a family may have called it, not its practitioner.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from appliance.errors import BadFile, BadInput, SendInterrupted, SendRefused
from appliance.protocol.cards import Card
from appliance.protocol.objects import (
    SERVICE_CARD,
    case_object,
    film_object,
    order_object,
    service_order_object,
    tombstone_object,
)
from appliance.protocol.orders import (
    FilmWithdrawal,
    Order,
    Reset,
    ServiceOrder,
    ShareEnd,
    Tombstone,
    Withdrawal,
    signed_order,
)
from appliance.records.clock import Clock
from appliance.records.files import Fact, checked_id, new_id, to_json
from appliance.records.signing import Signer, Verifier, open_fact, sign_fact
from appliance.stores.store import Put, ServiceStore, read_small
from appliance.vault.keys import PrivateKeys


class Begun(Fact, frozen=True, kw_only=True, tag="begun/v1"):
    """What is about to be removed: a cut must not make us forget that it was there."""

    order: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of one order."""

    order: str
    state: Literal["done", "done-before", "held", "waits", "refused"]
    """`waits`: the day on which it is to be done has not come."""
    case: str = ""
    removed: tuple[str, ...] = ()
    """Key files, or sealed files of a film, removed in this run."""
    film: str = ""
    share: str = ""
    """What was shared of the case with somebody, where the order is about that alone."""
    code: str = ""
    why: str = ""
    """A sentence, where it was refused."""


_Asked = Withdrawal | FilmWithdrawal | ShareEnd
_ASKED: msgspec.json.Decoder[_Asked] = msgspec.json.Decoder(_Asked)


def choose_keys(store: ServiceStore, keys: Sequence[PrivateKeys]) -> PrivateKeys:
    """Those of the service's keys that this store belongs to.

    Raises SendRefused if it is no service's store yet or another's: an empty folder with the right
    name may be a share that is not mounted.
    """
    data = read_small(store, SERVICE_CARD)
    if data is None:
        raise SendRefused(
            f"{store.url} is not the store of a service yet: its card is not there.",
            "Is the share mounted? If this is a new store, add --new, once.",
        )
    for mine in keys:
        if data == _card(mine):
            return mine
    raise SendRefused(
        f"{store.url} belongs to other keys than those given.",
        f"Give the keys of the service whose card lies there as {SERVICE_CARD}.",
    )


def make_new(store: ServiceStore, keys: PrivateKeys) -> None:
    """Make an empty store the service's own, so that kits will send to it. Safe to call again."""
    store.create(SERVICE_CARD, io.BytesIO(_card(keys)))


def place_order(
    store: ServiceStore, signer: Signer, kit: str, order: Callable[[int], Order]
) -> int:
    """Sign the next order for a kit and put it where the kit looks for it; returns its number.

    What lies under that number and is no order of ours makes way: no kit goes past it. Raises
    BadFile for what is no kit's id, SendInterrupted, SendRefused.
    """
    number = 1
    while True:
        where = service_order_object(kit, number)
        if not _is_order(read_small(store, where), signer, kit, number):
            store.purge(where)
            note = sign_fact(signer, order(number)).encode()
            # Another of the service's programs may have been quicker.
            if store.create(where, io.BytesIO(note)) is not Put.ALREADY_THERE:
                return number
        number += 1


def order_reset(
    store: ServiceStore, signer: Signer, kit: str, unsent: bool, now: datetime
) -> tuple[int, bytes]:
    """Order a kit to be set back, for other hands; returns the order's number and the signed order,
    which may be carried to a kit that does not send any more.

    Raises BadFile for what is no kit's id, SendInterrupted, SendRefused.
    """
    number = place_order(
        store, signer, kit, lambda n: Reset(number=n, kit=kit, unsent=unsent, at=now)
    )
    return number, read_small(store, service_order_object(kit, number)) or b""


def _is_order(note: bytes | None, signer: Signer, kit: str, number: int) -> bool:
    try:
        order = signed_order(note or b"", signer.verifier)
    except BadInput:
        return False
    return (order.kit, order.number) == (kit, number)


class Desk:
    """The service's store, its keys, and the practitioners whose orders count."""

    def __init__(
        self, store: ServiceStore, keys: PrivateKeys, practitioners: Sequence[Card], clock: Clock
    ) -> None:
        self._store = store
        self._signer = keys.signer
        self._believed: list[Verifier] = [card.verifying_key() for card in practitioners]
        # What the service itself ordered at this store (`withdraw_case`).
        self._believed.append(keys.signer.verifier)
        self._clock = clock

    def work(self) -> list[Outcome]:
        """Carry out every order in the store. Raises SendInterrupted or SendRefused."""
        every = [self._one(e.name.removeprefix("orders/")) for e in self._store.list("orders/")]
        return [outcome for outcome in every if outcome.state != "waits"]

    def _one(self, name: str) -> Outcome:
        try:
            order = self._order(name)
        except BadInput as error:
            return Outcome(name, "refused", code=error.code, why=error.sentence)
        if isinstance(order, FilmWithdrawal):
            return self._film(order)
        if isinstance(order, ShareEnd):
            return self._share(order)
        # What was shared are copies: sharing ends at once, a hold or not.
        shared = self._store.list(case_object(order.case, "shares/"))
        for folder in {entry.name.rpartition("/")[0] for entry in shared}:
            self._store.purge(f"{folder}/")
        answer = self._tombstone(order.case, order.case)
        if order.held:
            if answer is None:
                self._sign(tombstone_object(order.case), self._told(order, (), held=True))
            return Outcome(name, "held", order.case)
        answered = answer is not None and not answer.held
        # Even when it was answered: a kit restored from a copy may have brought a key back.
        removed = self._remove_keys(order)
        if not answered:
            self._sign(tombstone_object(order.case), self._told(order, self._begun(order)))
        self._store.purge(_begun(order.id))
        before = answered and not removed
        return Outcome(name, "done-before" if before else "done", order.case, removed)

    def withdraw_case(self, case: str) -> str:
        """Order the withdrawal of a whole case in the service's own name; `work` carries it out,
        and every kit learns of it from the tombstone. Returns the order's id."""
        now = self._clock.read().wall
        order = Withdrawal(id=new_id(), case=checked_id(case), kit="", at=now)
        self._sign(order_object(order.id), order)
        return order.id

    def withdraw_film(self, kit: str, case: str, film: str) -> int:
        """Order a kit to take a film back; the copies at this store go when `work` finds the order.

        Returns the order's number, by which the kit carries it out once.
        """
        now = self._clock.read().wall
        checked_id(case), checked_id(film)
        number = place_order(
            self._store,
            self._signer,
            kit,
            lambda n: ServiceOrder(number=n, kit=kit, case=case, film=film, at=now),
        )
        own = FilmWithdrawal(id=new_id(), case=case, kit=kit, film=film, clips=(), at=now)
        self._sign(order_object(own.id), own)
        return number

    def _film(self, order: FilmWithdrawal) -> Outcome:
        """Remove what the store holds of one film, and of the moments that were cut from it."""
        case, film = order.case, checked_id(order.film)
        answered = self._tombstone(order.id, case) is not None
        prefixes = [
            film_object(case, film, ""),
            case_object(case, f"imports/{film}/"),
            case_object(case, f"derived/{film}/"),
            *(case_object(case, f"clips/{checked_id(clip)}.") for clip in order.clips),
            *(case_object(case, f"documents/clip-{clip}-") for clip in order.clips),
            *(case_object(case, f"documents/still-{clip}-") for clip in order.clips),
        ]
        if not answered:
            shares = self._shares_with(case, film)
            prefixes += [case_object(case, f"shares/{share}/") for share in shares]
            self._begin(order, prefixes)
        names = tuple(sorted(name for prefix in prefixes for name in self._store.purge(prefix)))
        if not answered:
            told = self._told(order, self._begun(order))
            self._sign(tombstone_object(order.id), told)
        self._store.purge(_begun(order.id))
        state: Literal["done", "done-before"] = "done-before" if answered and not names else "done"
        return Outcome(order.id, state, case, names, film)

    def _share(self, order: ShareEnd) -> Outcome:
        """Remove what was shared with somebody, once its day has come."""
        if self._clock.read().wall < order.at:
            return Outcome(order.id, "waits", order.case, share=order.share)
        answered = self._tombstone(order.id, order.case) is not None
        names = tuple(sorted(self._store.purge(case_object(order.case, f"shares/{order.share}/"))))
        if not answered:
            self._sign(tombstone_object(order.id), self._told(order, names))
        state: Literal["done", "done-before"] = "done-before" if answered and not names else "done"
        return Outcome(order.id, state, order.case, names, share=order.share)

    def _shares_with(self, case: str, film: str) -> set[str]:
        """What was shared of a film."""
        found = set()
        for entry in self._store.list("orders/"):
            try:
                order = self._order(entry.name.removeprefix("orders/"))
            except BadInput:
                continue
            if isinstance(order, ShareEnd) and order.case == case and film in order.films:
                found.add(order.share)
        return found

    def _order(self, name: str) -> _Asked:
        note = read_small(self._store, order_object(name))
        if note is None:
            raise BadFile("This order is too long to be one.")
        order, _ = open_fact(note, self._believed, _ASKED)
        if isinstance(order, ShareEnd):
            checked_id(order.share)
        checked_id(order.case)
        if order.id != name:
            raise BadFile("This order carries another name inside.")
        return order

    def _tombstone(self, name: str, case: str) -> Tombstone | None:
        """What this service has answered, for a case or to an order. What is no answer of ours
        counts as nothing, and is replaced."""
        note = read_small(self._store, tombstone_object(name))
        try:
            answer, _ = open_fact(note or b"", [self._signer.verifier], Tombstone)
        except BadInput:
            return None
        return answer if (answer.case, answer.whole) == (case, name == case) else None

    def _remove_keys(self, order: Withdrawal) -> tuple[str, ...]:
        prefix = case_object(order.case, "identity-")
        self._begin(order, [prefix])
        removed = self._store.purge(prefix)
        if any(self._store.list(prefix)):
            raise SendInterrupted(
                f"A key of case {order.case} came back while it was being removed.",
                "A kit may be sending just now. It is removed again with the next try.",
            )
        return removed

    def _begin(self, order: Withdrawal | FilmWithdrawal, prefixes: Sequence[str]) -> None:
        names = {entry.name for prefix in prefixes for entry in self._store.list(prefix)}
        if not names:
            return
        begun = Begun(order=order.id, names=tuple(sorted(names)))
        note = sign_fact(self._signer, begun).encode()
        where = f"{_begun(order.id)}{hashlib.sha256(note).hexdigest()[:16]}"
        if self._store.create(where, io.BytesIO(note)) is Put.ALREADY_THERE:
            # Ours from a run that was cut, or somebody's who wants the name; ours either way now.
            self._store.purge(where)
            self._store.create(where, io.BytesIO(note))

    def _begun(self, order: Withdrawal | FilmWithdrawal) -> tuple[str, ...]:
        """What was removed for an order, in this run and in those that were cut."""
        names: set[str] = set()
        for entry in self._store.list(_begun(order.id)):
            note = read_small(self._store, entry.name) or b""
            try:
                begun, _ = open_fact(note, [self._signer.verifier], Begun)
            except BadInput:
                continue
            if begun.order == order.id:
                names.update(begun.names)
        return tuple(sorted(names))

    def _told(
        self,
        order: Withdrawal | FilmWithdrawal | ShareEnd,
        removed: tuple[str, ...],
        held: bool = False,
    ) -> Tombstone:
        now = self._clock.read().wall
        whole = isinstance(order, Withdrawal)
        return Tombstone(
            order=order.id, case=order.case, at=now, removed=removed, whole=whole, held=held
        )

    def _sign(self, where: str, fact: Fact) -> None:
        """Put a fact under a name, signed, in place of what may lie there."""
        note = sign_fact(self._signer, fact).encode()
        self._store.purge(where)
        self._store.create(where, io.BytesIO(note))


def _begun(order: str) -> str:
    return f"begun/{checked_id(order)}/"


def _card(keys: PrivateKeys) -> bytes:
    return to_json(keys.card()) + b"\n"
