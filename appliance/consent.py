"""What a family agreed to, and how it is taken back.

Consent is several consents: each person speaks for themselves, each purpose stands alone, and none
is assumed. The records here lie sealed in the case; a withdrawal is a signed order that holds
random ids only, so that it can travel and be checked without opening anything.
"""

from datetime import datetime
from typing import Literal

from appliance.files import Fact, Moment

Purpose = Literal["filming", "supervisor", "peers", "training", "copies", "online-review"]
PURPOSES: tuple[Purpose, ...] = (
    "filming",
    "supervisor",
    "peers",
    "training",
    "copies",
    "online-review",
)


class Person(Fact, frozen=True, kw_only=True, tag="person/v1"):
    """Somebody who will be in the room, and what they say for themselves."""

    name: str
    relation: str
    responsibility: bool
    """Holds parental responsibility, or acts for an authority that does."""
    agrees: bool


class Consent(Fact, frozen=True, kw_only=True, tag="consent/v1"):
    """One agreement: by whom, for what, how long a film, until when."""

    people: tuple[Person, ...]
    purposes: tuple[Purpose, ...]
    limit: int
    """Seconds of one film."""
    valid_until: Moment
    language: str
    interpreter: str
    given: Literal["signed", "witnessed"]
    wording: str
    """Version of the words that were read out."""
    recorded: Moment


def allows(consent: Consent | None, purpose: Purpose, now: datetime) -> bool:
    """True if everybody agreed to `purpose`, someone responsible among them, and it still holds."""
    return (
        consent is not None
        and purpose in consent.purposes
        and now < consent.valid_until
        and all(person.agrees for person in consent.people)
        and any(person.responsibility for person in consent.people)
    )


class Withdrawal(Fact, frozen=True, kw_only=True, tag="withdrawal/v1"):
    """The family has taken everything back. Signed by the practitioner who was unlocked."""

    id: str
    case: str
    kit: str
    at: Moment


class Tombstone(Fact, frozen=True, kw_only=True, tag="tombstone/v1"):
    """The service's answer to a withdrawal, signed: what it removed, and when."""

    order: str
    case: str
    at: Moment
    removed: tuple[str, ...]
    """Names of the key files removed at the store, every version of each."""
