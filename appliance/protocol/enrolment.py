"""Whom a kit obeys, and the service's word that somebody is a practitioner no more.

inbox/card-0002     a card of the service that follows those which the kit knows
"""

from functools import lru_cache
from pathlib import Path

from appliance.protocol.cards import Card, CardChain
from appliance.records.files import Fact, Home, Timestamp

LARGEST_CARD = 64 * 1024
"""Bytes: no card of a service is longer."""


class Enrolled(Fact, frozen=True, kw_only=True, tag="enrolled/v1"):
    """Whom this kit obeys; every entry was confirmed with a press of the button."""

    service: Card
    """The service's first card."""
    practitioners: tuple[Card, ...]
    ceilings: str = ""
    """The service's signed `Ceilings`; '' where it has signed none."""
    former: tuple[Card, ...] = ()
    """Practitioners whom the service revoked: what they signed in a case before is still believed,
    and they neither open the page nor arm the kit."""
    cards: tuple[str, ...] = ()
    """The service's signed cards from the second on."""

    def __post_init__(self) -> None:
        _ = self.chain

    @property
    def chain(self) -> CardChain:
        """The service, by all of its cards."""
        return _chain(self.service, self.cards)


class Revocation(Fact, frozen=True, kw_only=True, tag="revocation/v1"):
    """The service takes a practitioner from every kit. Signed; to take away needs no press."""

    practitioner: str
    """The name on their card."""
    at: Timestamp


def card_path(home: Home, number: int) -> Path:
    """Where a card of the service lies in the inbox."""
    return home.inbox / f"card-{number:04}"


@lru_cache(maxsize=8)
def _chain(first: Card, notes: tuple[str, ...]) -> CardChain:
    return CardChain(first, notes)


def read_revocation(note: str | bytes, service: CardChain) -> Revocation:
    """What a service has signed. Raises BadFile, BadSignature."""
    return service.word(note, Revocation)
