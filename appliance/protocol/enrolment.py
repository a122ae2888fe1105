"""Whom a kit obeys, and the service's word that somebody is a practitioner no more."""

from appliance.protocol.cards import Card
from appliance.records.files import Fact, Timestamp
from appliance.records.signing import open_fact


class Enrolled(Fact, frozen=True, kw_only=True, tag="enrolled/v1"):
    """Whom this kit obeys; every entry was confirmed with a press of the button."""

    service: Card
    practitioners: tuple[Card, ...]
    ceilings: str = ""
    """The service's signed `Ceilings`; '' where it has signed none."""
    former: tuple[Card, ...] = ()
    """Practitioners whom the service revoked: what they signed in a case before is still believed,
    and they neither open the page nor arm the kit."""


class Revocation(Fact, frozen=True, kw_only=True, tag="revocation/v1"):
    """The service takes a practitioner from every kit. Signed; to take away needs no press."""

    practitioner: str
    """The name on their card."""
    at: Timestamp


def read_revocation(note: str | bytes, service: Card) -> Revocation:
    """What a service has signed. Raises BadFile, BadSignature."""
    return open_fact(note, [service.verifying_key()], Revocation)[0]
