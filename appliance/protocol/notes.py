"""What of the service's store is a signed note, who must have signed it, and what it must say.

Nothing here opens anything: notes are public, so that anybody can check them (`attune verify`).
Whether a key of the service counts is said by its newest card, and by nothing else.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import msgspec

from appliance.errors import BadFile, BadSignature
from appliance.protocol.audits import StoreAudit
from appliance.protocol.cards import CardChain
from appliance.protocol.emptying import FILMS_READ, FilmsRead, films_read_object
from appliance.protocol.enrolment import Revocation
from appliance.protocol.objects import (
    audit_object,
    case_object,
    hold_object,
    order_object,
    revocation_object,
    service_order_object,
    tombstone_object,
)
from appliance.protocol.orders import (
    FilmWithdrawal,
    HoldEnd,
    Order,
    ShareEnd,
    Tombstone,
    Withdrawal,
    hold_name,
    read_hold,
)
from appliance.protocol.refusals import REFUSED_HOLD, OrderRefused, refusal_object
from appliance.protocol.retention import KEEP_NAME, Keep, Purged, keep_name, purged_object
from appliance.records.files import ID, Fact, from_json
from appliance.records.signing import Verifier, open_fact, open_note, split_note

_F = TypeVar("_F", bound=Fact)
_Asked = Withdrawal | FilmWithdrawal | ShareEnd
_ASKED: msgspec.json.Decoder[_Asked] = msgspec.json.Decoder(_Asked)
_SERVICE_ORDER: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
_Answer = Tombstone | OrderRefused
_ANSWER: msgspec.json.Decoder[_Answer] = msgspec.json.Decoder(_Answer)
_ID = ID.pattern


@dataclass(frozen=True)
class Signers:
    """Those whose notes count, by what is known of them from elsewhere."""

    service: CardChain | None = None
    """None where nobody said which service this is: nothing is its word then."""
    people: Sequence[Verifier] = ()
    left: Mapping[str, datetime] = field(default_factory=dict)
    """When the service revoked somebody, by their name."""

    def word(self, note: bytes, kind: type[_F] | msgspec.json.Decoder[_F]) -> _F:
        """What the service has signed. Raises BadFile, BadSignature."""
        text, by = self._opened(note, ())
        fact = from_json(text, kind)
        self.check_was_here(by, getattr(fact, "at", None))
        return fact

    def opened(self, note: bytes) -> tuple[str, Verifier]:
        """What somebody of the service, or the service itself, has signed, and who. The caller asks
        `check_was_here`. Raises BadFile, BadSignature."""
        return self._opened(note, self.people)

    def check_was_here(self, by: Verifier, at: datetime | None) -> None:
        """Raises BadSignature for what somebody signed after they had left, or a key of the service
        after its end."""
        until = self.service.signing.get(by) if self.service else None
        if until is not None and (at is None or at > until):
            raise BadSignature(
                f"{by.name} signed this after its last day, which was {until:%d %B %Y}.",
                "Somebody has that key still, or the clock beside it was wrong. If it may be in "
                "other hands: leave it out of the service's next card.",
            )
        left = self.left.get(by.name)
        if left is not None and (at is None or at > left):
            raise BadSignature(f"{by.name} had left the service when this was signed.")

    def _opened(self, note: bytes, people: Sequence[Verifier]) -> tuple[str, Verifier]:
        counts = [*people, *(self.service.signing if self.service else ())]
        signed = {(name, key) for name, key, _ in split_note(note)[1]}
        if self.service and not signed & {(key.name, key.hash) for key in counts}:
            _explain(signed, self.service)
        return open_note(note, counts)


def _explain(signed: set[tuple[str, bytes]], service: CardChain) -> None:
    """Raises BadSignature where this is the signature of a key that was the service's once, or that
    is called like one."""
    for key in service.ever:
        if (key.name, key.hash) in signed:
            raise BadSignature(
                f"{key.name} signed this, and the service's newest card, {service.number:04}, "
                "leaves that key out: nothing that it ever signed counts.",
                "Run serve --once: base signs its own part anew. What lies there after that as it "
                "did is not the service's word.",
            )
    for name, _ in sorted(signed):
        if name.startswith("service-"):
            raise BadSignature(
                f"{name} signed this, and no card of the service up to {service.number:04} names "
                "that key.",
                "If it is to sign for the service, its root makes a card that names it; otherwise "
                "somebody else put this there.",
            )


def whose(name: str) -> str:
    """Who signs what lies under this name: 'service', 'people', or '' for what is no note."""
    return next((by for kind, by, _read in _NOTES if kind.fullmatch(name)), "")


def check_note(name: str, note: bytes, signers: Signers) -> str:
    """What a note says, in a few words. Raises BadFile, BadSignature."""
    for kind, _by, read in _NOTES:
        if kind.fullmatch(name):
            return read(name, note, signers)
    raise BadFile("This is no note.")


def _tombstone(name: str, note: bytes, signers: Signers) -> str:
    answer = signers.word(note, _ANSWER)
    if isinstance(answer, OrderRefused):
        return _refusal(name, note, signers)
    _belongs(name, tombstone_object(answer.case if answer.whole else answer.order))
    if answer.held:
        return f"the answer to {answer.order}, under a hold"
    return f"the answer to {answer.order}, files removed: {len(answer.removed)}"


def _refusal(name: str, note: bytes, signers: Signers) -> str:
    no = signers.word(note, OrderRefused)
    _belongs(name, refusal_object(no.what, no.case, no.order))
    return f"{no.order} was refused on {no.at:%d %B %Y}"


def _purged(name: str, note: bytes, signers: Signers) -> str:
    gone = signers.word(note, Purged)
    _belongs(name, purged_object(gone.case))
    return f"objects removed on {gone.at:%d %B %Y}: {gone.objects}"


def _keep(name: str, note: bytes, signers: Signers) -> str:
    keep, by = open_fact(note, signers.people, Keep)
    _belongs(name, case_object(keep.case, keep_name(keep.number, keep.kit)))
    signers.check_was_here(by, keep.at)
    return f"signed by {by.name}"


def _revocation(name: str, note: bytes, signers: Signers) -> str:
    left = signers.word(note, Revocation)
    _belongs(name, revocation_object(left.practitioner))
    return f"revoked on {left.at:%d %B %Y}"


def _audit(name: str, note: bytes, signers: Signers) -> str:
    audit = signers.word(note, StoreAudit)
    if not name.endswith("/newest"):
        _belongs(name, audit_object(audit.number))
    return f"objects looked at on {audit.at:%d %B %Y}: {audit.objects}"


def _films_read(name: str, note: bytes, signers: Signers) -> str:
    read = signers.word(note, FilmsRead)
    _belongs(name, films_read_object(read.kit))
    return f"films read whole on {read.at:%d %B %Y}: {len(read.films)}"


def _service_order(name: str, note: bytes, signers: Signers) -> str:
    order = signers.word(note, _SERVICE_ORDER)
    _belongs(name, service_order_object(order.kit, order.number))
    return f"an order for kit {order.kit}"


def _order(name: str, note: bytes, signers: Signers) -> str:
    text, by = signers.opened(note)
    order = from_json(text, _ASKED)
    _belongs(name, order_object(order.id))
    # The end of a share counts whenever it was signed.
    if not isinstance(order, ShareEnd):
        signers.check_was_here(by, order.at)
    return f"signed by {by.name}"


def _hold(name: str, note: bytes, signers: Signers) -> str:
    text, by = signers.opened(note)
    hold = read_hold(text)
    _belongs(name, hold_object(hold.case, hold_name(note)))
    if hold.since is not None:
        signers.check_was_here(by, hold.since)
    return f"signed by {by.name}"


def _hold_end(name: str, note: bytes, signers: Signers) -> str:
    text, by = signers.opened(note)
    end = from_json(text, HoldEnd)
    _belongs(name, f"{hold_object(end.case, end.hold)}-lifted")
    signers.check_was_here(by, end.at)
    return f"signed by {by.name}"


def _belongs(name: str, where: str) -> None:
    if name != where:
        raise BadFile(f"It belongs under another name, {where}.")


_Read = Callable[[str, bytes, Signers], str]
_NOTES: tuple[tuple[re.Pattern[str], str, _Read], ...] = (
    (re.compile(rf"tombstones/{_ID}"), "service", _tombstone),
    (re.compile(rf"purged/{_ID}"), "service", _purged),
    (re.compile(rf"cases/{_ID}/{KEEP_NAME.pattern}"), "people", _keep),
    (re.compile(r"revoked/[^/]+"), "service", _revocation),
    (re.compile(r"audits/([0-9]{6}|newest)"), "service", _audit),
    (re.compile(rf"kits/{_ID}/orders/[0-9]{{6}}"), "service", _service_order),
    (re.compile(rf"kits/{_ID}/{FILMS_READ}"), "service", _films_read),
    (re.compile(rf"orders/{_ID}"), "people", _order),
    (re.compile(rf"holds/{_ID}/[0-9a-f]{{16}}"), "people", _hold),
    (re.compile(rf"holds/{_ID}/[0-9a-f]{{16}}-lifted"), "people", _hold_end),
    (re.compile(rf"holds/{_ID}/{REFUSED_HOLD.pattern}"), "service", _refusal),
)
