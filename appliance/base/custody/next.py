"""The service's next card: what stands stays, unless it is said otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from appliance.errors import BadFile, BadInput
from appliance.protocol.cards import Card, CardChain, KeyCard, KeyRole, ServiceCard, SigningKey
from appliance.records.files import from_json
from appliance.records.signing import sign_fact
from appliance.vault.keys import PrivateKeys

_Public = Card | KeyCard
_PUBLIC: msgspec.json.Decoder[_Public] = msgspec.json.Decoder(_Public)


@dataclass(frozen=True)
class Change:
    """What the next card has that this one has not."""

    roots: Sequence[str] = ()
    """In place of those that stand, if any are given."""
    signing: Sequence[str] = ()
    until: datetime | None = None
    """The end of each of `signing`."""
    opening: Sequence[str] = ()
    """In place of those that stand, if any are given."""
    ended: Sequence[str] = ()
    """Names of keys that sign no more from now on; what they signed stays."""
    without: Sequence[str] = ()
    """Names of keys that were stolen: nothing that they ever signed counts."""


def public_half(path: Path, role: KeyRole) -> str:
    """The key in a .pub file of `attune keygen`. Raises BadFile, BadInput."""
    try:
        card = from_json(path.read_bytes(), _PUBLIC)
    except OSError as error:
        raise BadInput(f"{path} could not be read: {error.strerror}.") from error
    if isinstance(card, Card) and card.role == "service":
        return card.recipient if role == "opening" else card.verifier
    if isinstance(card, KeyCard) and card.role == role:
        return card.key
    raise BadFile(
        f"{path} is not the public half of a key for that.",
        f"Make one that is: attune keygen --role {role} -o {role}.key, and give {role}.key.pub.",
    )


def next_card(keys: PrivateKeys, change: Change, now: datetime) -> str:
    """The service's next card, signed by a root that is here. Raises NoMatch where none is,
    BadInput for a card that none may be."""
    service = keys.chain
    known = {key.name for key in service.signing}
    for name in (*change.ended, *change.without):
        if name not in known:
            raise BadInput(f"No key {name} signs for this service.", "The verb card lists them.")
    if change.signing and change.until is None:
        raise BadInput("A signing key needs an end.", "Say until when: --until DAY")
    roots = tuple(change.roots) or tuple(map(str, service.roots))
    card = ServiceCard(
        number=service.number + 1,
        before=service.digest,
        at=now,
        roots=roots,
        signing=_signing(service, change, now),
        recipients=tuple(change.opening) or tuple(map(str, service.sealing_keys())),
    )
    note = sign_fact(keys.root, card)
    service.followed_by(note)
    return note


def _signing(service: CardChain, change: Change, now: datetime) -> tuple[SigningKey, ...]:
    ends: dict[str, datetime] = {}
    for key, until in service.signing.items():
        if key.name in change.without:
            continue
        over = key.name in change.ended or until is None
        ends[str(key)] = min(now, until or now) if over else until or now
    if change.until is not None:
        ends |= dict.fromkeys(change.signing, change.until)
    return tuple(SigningKey(verifier=key, until=until) for key, until in ends.items())
