"""Whose word counts at base, and for what.

What somebody signed while they were of the service counts, whenever it arrives: a family decided
it, and their practitioner has merely left since. The end of a share always counts. A withdrawal
counts from a person of that case's team, as the case's own lists say. Any other waits for the
service's yes: an order of its own, `withdraw`. So do several cases a day of one signer.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from appliance.base.ledger import Ledger
from appliance.base.teams import people_of, works_in
from appliance.errors import (
    BadFile,
    BadInput,
    BadSignature,
    KitError,
)
from appliance.protocol.cards import Card, role_of
from appliance.protocol.enrolment import read_revocation
from appliance.protocol.objects import revocation_object
from appliance.protocol.orders import (
    MOST_A_DAY,
    MOST_FILMED_A_DAY,
    FilmWithdrawal,
    ShareEnd,
    Withdrawal,
)
from appliance.records.clock import Clock
from appliance.records.files import checked_id, from_json
from appliance.records.signing import Verifier, open_note
from appliance.stores.store import ServiceStore, read_small
from appliance.vault.keys import PrivateKeys

Asked = Withdrawal | FilmWithdrawal | ShareEnd
_ASKED: msgspec.json.Decoder[Asked] = msgspec.json.Decoder(Asked)

_DAY = timedelta(days=1)


class Waits(KitError):
    """An order that may be right, and that the service itself must say yes to."""

    code = "asks"


class Voices:
    """The people of a service, and what each may ask for."""

    def __init__(
        self,
        store: ServiceStore,
        keys: PrivateKeys,
        here: Sequence[Card],
        former: Sequence[Card],
        ledger: Ledger,
    ) -> None:
        self._store = store
        self._keys = keys
        self._service = keys.chain
        self._people: list[Verifier] = [card.verifying_key() for card in (*here, *former)]
        self._former = {card.name for card in former} - {card.name for card in here}
        self._ledger = ledger

    def opened(self, note: bytes) -> tuple[str, str]:
        """What a note says, and the name of who signed it. Raises BadFile, BadSignature."""
        text, by = open_note(note, [*self._people, *self._service.signing])
        return text, by.name

    def order(self, name: str, note: bytes | None) -> tuple[Asked, str]:
        """What is asked for under this name, and who asks. Raises BadFile, BadSignature."""
        if note is None:
            raise BadFile("This order is too long to be one.")
        text, by = self.opened(note)
        order = parse_order(text)
        if order.id != name:
            raise BadFile("This order carries another name inside.")
        return order, by

    def check_was_here(self, name: str, at: datetime | None) -> None:
        """Raises Waits where somebody had left before they signed, or nobody knows that: a kit may
        not have heard of it, and the family meant what it said. Raises BadSignature where a key of
        the service had ended."""
        for key, until in self._service.signing.items():
            if key.name == name and until is not None and (at is None or at > until):
                raise BadSignature(f"{name} was not the service's key any more.")
        if not self.has_left(name):
            return
        left = self._left(name)
        if left is None or at is None:
            raise Waits(f"Nobody knows whether {name} had left when it was signed.")
        if at > left:
            raise Waits(f"{name} had left the service when this was signed.")

    def check(self, order: Withdrawal | FilmWithdrawal, by: str) -> None:
        """Raises Waits where whoever signed an order may not give it alone."""
        self.check_was_here(by, order.at)
        if self.is_service(by):
            return
        if not self.works_in(order.case, by):
            raise Waits(f"{by} is not known to work with this family.")

    def many(self, order: Withdrawal | FilmWithdrawal, by: str, clock: Clock) -> str:
        """A sentence where this signer has ended so many cases lately, or taken back films of so
        many, that the service is asked, '' otherwise."""
        if self.is_service(by):
            return ""
        since = clock.read().wall - _DAY
        decided = [*self._ledger.of("accepted").values(), *self._ledger.of("waits").values()]
        # Cases, whatever of them went: a film of each is every film, one by one.
        recent = {
            line.ids.get("case") for line in decided if line.ids["by"] == by and line.at > since
        }
        others = len(recent - {order.case})
        if isinstance(order, FilmWithdrawal) and others >= MOST_FILMED_A_DAY:
            return f"{by} has taken films of {others} cases back within a day already."
        if isinstance(order, Withdrawal) and others >= MOST_A_DAY:
            return f"{by} has ended {others} cases within a day already."
        return ""

    def has_left(self, name: str) -> bool:
        """True for somebody who was of the service and is not any more."""
        # Where a run was cut after the line, their card still lies among the others.
        return name in self._former or name in self._ledger.of("revoked")

    def is_service(self, name: str) -> bool:
        return role_of(name) == "service"

    def works_in(self, case: str, name: str) -> bool:
        """True if this person is of the case's team, as its lists at the store say (`base.teams`)
        or because the service let them in. Where nothing of it ever came here nobody can tell, and
        a kit that has it would close it on the service's word."""
        if f"{case}/{name}" in self._ledger.of("let-in"):
            return True
        left = self._former | set(self._ledger.of("revoked"))
        return works_in(self._store, self._keys, self._people, case, name, left)

    def people_of(self, case: str) -> set[str]:
        """Everybody who is known to work, or to have worked, with a family."""
        known = {
            name.partition("/")[2]
            for name in self._ledger.of("let-in")
            if name.startswith(f"{case}/")
        }
        return known | people_of(self._store, self._keys, self._people, case)

    def _left(self, name: str) -> datetime | None:
        known = self._ledger.of("revoked").get(name)
        with suppress(BadInput):
            note = known.ids["note"] if known else self._revocation(name)
            revoked = read_revocation(note, self._service)
            return revoked.at if revoked.practitioner == name else None
        return None

    def _revocation(self, name: str) -> bytes:
        return read_small(self._store, revocation_object(name)) or b""


def parse_order(text: str) -> Asked:
    """What an order's text asks for, whoever signed it. Raises BadFile."""
    order = from_json(text, _ASKED)
    ids = [order.id, order.case]
    if isinstance(order, ShareEnd):
        ids.append(order.share)
    elif isinstance(order, FilmWithdrawal):
        ids += [order.film, *order.clips]
    for one in ids:
        checked_id(one)
    return order
