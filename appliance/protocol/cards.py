"""Public cards, of people and of kits: whom to seal to, and whose signatures to believe.

A service's first card is one key for everything. What follows are numbered cards, each signed by a
root that the one before names: `CardChain` says what is the service's word, and to whom a case's
key is sealed, by the newest.
"""

import base64
import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Literal, TypeVar

import msgspec

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import Recipient
from appliance.errors import BadFile, BadInput, BadSignature
from appliance.records.files import Fact, Timestamp, from_json, to_json
from appliance.records.signing import Verifier, open_fact, open_note

Role = Literal["service", "practitioner"]
_F = TypeVar("_F", bound=Fact)


class Card(Fact, frozen=True, tag="card/v1"):
    """The public half of somebody's keys: whom to seal to, and whose signatures to believe.

    `name` is the name of the signing key, `<role>-<id>`; it says nothing of the person.
    """

    role: Role
    name: str
    recipient: str
    verifier: str

    def __post_init__(self) -> None:
        parse_recipient(self.recipient)
        if self.verifying_key().name != self.name or role_of(self.name) != self.role:
            raise BadFile("The names on this card do not fit each other.")

    def sealing_key(self) -> Recipient:
        return parse_recipient(self.recipient)

    def verifying_key(self) -> Verifier:
        return Verifier.parse(self.verifier)


class KitCard(Fact, frozen=True, kw_only=True, tag="kit/v1"):
    """A kit's public half, `kit/kit.json`: its id, and the key that its films are signed with."""

    id: str
    verifier: str

    def verifying_key(self) -> Verifier:
        """Raises BadFile."""
        return Verifier.parse(self.verifier)


KeyRole = Literal["root", "signing", "opening"]


class KeyCard(Fact, frozen=True, kw_only=True, tag="key-card/v1"):
    """The public half of a key of a service that is for one thing alone."""

    role: KeyRole
    key: str
    """A recipient where it opens, a verifying key where it signs."""

    def __post_init__(self) -> None:
        if self.role == "opening":
            parse_recipient(self.key)
        else:
            Verifier.parse(self.key)


class SigningKey(Fact, frozen=True, kw_only=True, tag="signing-key/v1"):
    """A key that signs in the service's name, and how long."""

    verifier: str
    until: Timestamp
    """What it signs later is not the service's word; what it signed before stays."""


class ServiceCard(Fact, frozen=True, kw_only=True, tag="service-card/v1"):
    """A card of a service after its first. Signed by a root of the card before; it alone says which
    keys count: one that it leaves out never did, so that a stolen one signs nothing any more, dated
    back or not."""

    number: int
    """From 2: the first is a `Card`."""
    before: str
    """SHA-256 (hex) of the text of the card before."""
    at: Timestamp
    roots: tuple[str, ...]
    """Verifying keys, any one of which signs the next card."""
    signing: tuple[SigningKey, ...]
    recipients: tuple[str, ...]
    """Whom each case's key is sealed to: the key for every day, then those that are kept away."""

    def __post_init__(self) -> None:
        for verifier in (*self.roots, *(key.verifier for key in self.signing)):
            if role_of(Verifier.parse(verifier).name) != "service":
                raise BadFile("A card of a service names keys of a service alone.")
        kinds = {parse_recipient(recipient).kind for recipient in self.recipients}
        if not self.roots or len(set(self.recipients)) < 2 or len(kinds) != 1:
            raise BadFile(
                "A card of a service names a root, and two recipients or more of one type."
            )


class CardChain:
    """A service by its cards: the first, and what followed. Everybody who asks whether something is
    the service's word asks here."""

    def __init__(self, first: Card, notes: Iterable[str] = ()) -> None:
        """`notes`: the signed cards from the second on. Raises BadFile, BadSignature for what does
        not follow."""
        self.first = first
        self.notes: tuple[str, ...] = ()
        self.newest: ServiceCard | None = None
        self.ever = {first.verifying_key()}
        """Every key that was ever the service's: for what was believed when it was taken in."""
        self._text = f"{to_json(first).decode()}\n"
        for note in notes:
            self._follow(note)

    @property
    def number(self) -> int:
        """Of the newest card."""
        return len(self.notes) + 1

    def followed_by(self, note: str) -> "CardChain":
        """The chain with its next card. Raises BadFile, BadSignature."""
        return CardChain(self.first, (*self.notes, note))

    @property
    def roots(self) -> list[Verifier]:
        """Any one of them signs the next card."""
        newest = self.newest
        if newest is None:
            return [self.first.verifying_key()]
        return [Verifier.parse(root) for root in newest.roots]

    @cached_property
    def signing(self) -> dict[Verifier, datetime | None]:
        """The keys whose signatures are the service's word, and until when; None: without end."""
        if self.newest is None:
            return {self.first.verifying_key(): None}
        return {Verifier.parse(key.verifier): key.until for key in self.newest.signing}

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the newest card's text: what the next one names as `before`."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    @property
    def slug(self) -> str:
        """What key files are called by that were sealed anew to whom the newest card names: the
        case's own number, then this. No kit writes it."""
        digest = hashlib.sha256(self.digest.encode()).digest()
        return base64.b32encode(digest)[:16].decode().lower()

    def word(self, note: str | bytes, kind: type[_F] | msgspec.json.Decoder[_F]) -> _F:
        """What the service has signed. Raises BadFile, BadSignature."""
        fact, by = open_fact(note, self.signing, kind)
        if not self.said(fact, by):
            raise BadSignature("The key that signed this was not the service's any more.")
        return fact

    def said(self, fact: Fact, by: Verifier) -> bool:
        """True if a fact that `by` signed is the service's word: by the newest card, it was the
        service's key when the fact says that it was signed."""
        if by not in self.signing:
            return False
        until = self.signing[by]
        at: datetime | None = getattr(fact, "at", None) or getattr(fact, "since", None)
        return until is None or at is None or at <= until

    def sealing_keys(self) -> list[Recipient]:
        """Whom each case's key is sealed to, besides its practitioners."""
        if self.newest is None:
            return [self.first.sealing_key()]
        return [parse_recipient(recipient) for recipient in self.newest.recipients]

    def recipients(self, *people: Card) -> list[Recipient]:
        """Whom something is sealed to that these people and the service open. Raises BadInput for
        a key of another type."""
        return [*sealing_keys(self.first.sealing_key(), *people), *self.sealing_keys()]

    def _follow(self, note: str) -> None:
        text, _by = open_note(note, self.roots)
        card = from_json(text, ServiceCard)
        if (card.number, card.before) != (self.number + 1, self.digest):
            raise BadFile("This card does not follow the one before.")
        if parse_recipient(card.recipients[0]).kind != self.first.sealing_key().kind:
            raise BadFile("A service's cards do not change the type of its keys.")
        self.newest, self._text = card, text
        self.ever |= {Verifier.parse(key.verifier) for key in card.signing}
        self.notes = (*self.notes, note)


def sealing_keys(like: Recipient, *cards: Card) -> list[Recipient]:
    """Whom something is sealed to, all of them of the same kind as `like`: the service's own key,
    or a case's, which was made like it. Whatever is sealed to a person goes through here.

    A key of another kind would be the way in: where the service chose post-quantum, one X25519
    card were enough to open everything in thirty years. Raises BadInput.
    """
    keys = [card.sealing_key() for card in cards]
    for card, key in zip(cards, keys, strict=True):
        if key.kind != like.kind:
            raise BadInput(
                "The key of %(name)s is not of the type that this service chose: post-quantum and "
                "X25519 keys do not mix, for the weaker would decide.",
                "They make one that is: attune keygen --role %(role)s%(option)s",
                name=card.name,
                role=card.role,
                option=" --x25519" if like.kind == "x25519" else "",
            )
    return keys


def role_of(name: str) -> Role:
    """Whose key this is, by its name. Raises BadFile."""
    prefix = name.partition("-")[0]
    if prefix == "service":
        return "service"
    if prefix == "practitioner":
        return "practitioner"
    raise BadFile("A key's name begins with service- or practitioner-.")
