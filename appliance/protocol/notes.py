"""What of the service's store is a signed note, who must have signed it, and what it must say.

Nothing here opens anything: notes are public, so that anybody can check them (`attune verify`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from appliance.errors import BadFile, BadSignature
from appliance.protocol.audits import StoreAudit
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
    ShareEnd,
    Tombstone,
    Withdrawal,
    hold_name,
    read_hold,
    read_order,
)
from appliance.protocol.retention import KEEP_NAME, Keep, Purged, keep_name, purged_object
from appliance.records.files import ID, from_json
from appliance.records.signing import Verifier, open_fact, open_note

_Asked = Withdrawal | FilmWithdrawal | ShareEnd
_ASKED: msgspec.json.Decoder[_Asked] = msgspec.json.Decoder(_Asked)
_ID = ID.pattern


@dataclass(frozen=True)
class Signers:
    """Those whose notes count, by their public keys from elsewhere."""

    service: Sequence[Verifier] = ()
    people: Sequence[Verifier] = ()
    left: Mapping[str, datetime] = field(default_factory=dict)
    """When the service revoked somebody, by their name."""

    def check_was_here(self, by: Verifier, at: datetime | None) -> None:
        """Raises BadSignature for what somebody signed after they had left."""
        left = self.left.get(by.name)
        if left is not None and (at is None or at > left):
            raise BadSignature(f"{by.name} had left the service when this was signed.")


def whose(name: str) -> str:
    """Who signs what lies under this name: 'service', 'people', or '' for what is no note."""
    return next((by for kind, by, _read in _NOTES if kind.fullmatch(name)), "")


def check_note(name: str, note: bytes, signers: Signers) -> str:
    """What a note says, in a few words. Raises BadFile, BadSignature."""
    for kind, _by, read in _NOTES:
        if kind.fullmatch(name):
            return read(name, note, signers)
    raise BadFile("This is no note.")


def revoked(note: bytes, service: Sequence[Verifier]) -> Revocation:
    """Raises BadFile, BadSignature."""
    return open_fact(note, service, Revocation)[0]


def _tombstone(name: str, note: bytes, signers: Signers) -> str:
    answer, _ = open_fact(note, signers.service, Tombstone)
    _belongs(name, tombstone_object(answer.case if answer.whole else answer.order))
    if answer.held:
        return f"the answer to {answer.order}, under a hold"
    return f"the answer to {answer.order}, files removed: {len(answer.removed)}"


def _purged(name: str, note: bytes, signers: Signers) -> str:
    gone, _ = open_fact(note, signers.service, Purged)
    _belongs(name, purged_object(gone.case))
    return f"objects removed on {gone.at:%d %B %Y}: {gone.objects}"


def _keep(name: str, note: bytes, signers: Signers) -> str:
    keep, by = open_fact(note, signers.people, Keep)
    _belongs(name, case_object(keep.case, keep_name(keep.number, keep.kit)))
    signers.check_was_here(by, keep.at)
    return f"signed by {by.name}"


def _revocation(name: str, note: bytes, signers: Signers) -> str:
    left = revoked(note, signers.service)
    _belongs(name, revocation_object(left.practitioner))
    return f"revoked on {left.at:%d %B %Y}"


def _audit(name: str, note: bytes, signers: Signers) -> str:
    audit, _ = open_fact(note, signers.service, StoreAudit)
    if not name.endswith("/newest"):
        _belongs(name, audit_object(audit.number))
    return f"objects looked at on {audit.at:%d %B %Y}: {audit.objects}"


def _service_order(name: str, note: bytes, signers: Signers) -> str:
    open_note(note, signers.service)
    order = read_order(note)
    _belongs(name, service_order_object(order.kit, order.number))
    return f"an order for kit {order.kit}"


def _order(name: str, note: bytes, signers: Signers) -> str:
    order, by = open_fact(note, [*signers.people, *signers.service], _ASKED)
    _belongs(name, order_object(order.id))
    # The end of a share always counts.
    if not isinstance(order, ShareEnd):
        signers.check_was_here(by, order.at)
    return f"signed by {by.name}"


def _hold(name: str, note: bytes, signers: Signers) -> str:
    text, by = open_note(note, [*signers.people, *signers.service])
    hold = read_hold(text)
    _belongs(name, hold_object(hold.case, hold_name(note)))
    if hold.since is not None:
        signers.check_was_here(by, hold.since)
    return f"signed by {by.name}"


def _hold_end(name: str, note: bytes, signers: Signers) -> str:
    text, by = open_note(note, [*signers.people, *signers.service])
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
    (re.compile(rf"orders/{_ID}"), "people", _order),
    (re.compile(rf"holds/{_ID}/[0-9a-f]{{16}}"), "people", _hold),
    (re.compile(rf"holds/{_ID}/[0-9a-f]{{16}}-lifted"), "people", _hold_end),
)
