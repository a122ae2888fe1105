"""The service's roster: its people and kits, numbered and signed, so that a kit that nobody speaks
to for long learns of who left, and a kit that is away for too long films no more.

A service that never made one works without. Whoever has taken one in follows the newest and goes
back to no older one: a store that came back from a copy is seen by that.

    service/roster/000001       at the store
    inbox/roster                on a kit, the newest that has come
    kit/roster                  the newest that the recorder has taken in
"""

from datetime import datetime
from typing import Literal

from appliance.errors import BadFile
from appliance.protocol.cards import Card, CardChain, KitCard
from appliance.records.files import Fact, Timestamp
from appliance.records.signing import open_fact

PLACE = "service/roster/"
LARGEST = 4 << 20
"""Bytes: some two thousand people."""

Role = Literal["practitioner", "supervisor", "lead"]


class Person(Fact, frozen=True, kw_only=True, tag="roster-person/v1"):
    """Somebody of the service."""

    card: Card
    name: str = ""
    """As colleagues call them."""
    role: Role = "practitioner"


class RosterKit(Fact, frozen=True, kw_only=True, tag="roster-kit/v1"):
    """A kit of the service."""

    card: KitCard
    name: str = ""
    """As it stands on the shelf."""
    lost: Timestamp | None = None
    """Since when nobody knows where it is."""


class Left(Fact, frozen=True, kw_only=True, tag="roster-left/v1"):
    """Somebody who was of the service."""

    practitioner: str
    """The name on their card."""
    since: Timestamp | None
    """None where nobody wrote it down."""


class Roster(Fact, frozen=True, kw_only=True, tag="roster/v1"):
    """Who is of a service. Signed by it."""

    number: int
    at: Timestamp
    ends: Timestamp
    """From then on whoever knows of nothing newer films nothing."""
    people: tuple[Person, ...]
    kits: tuple[RosterKit, ...]
    left: tuple[Left, ...]

    def is_over(self, now: datetime) -> bool:
        return now >= self.ends


def read_roster(note: str | bytes, service: CardChain, before: bool = False) -> Roster:
    """What a service has signed; with `before`, also with a key that was its own when this was
    taken in. Raises BadFile, BadSignature."""
    if before:
        roster, _ = open_fact(note, list(service.ever), Roster)
    else:
        roster = service.word(note, Roster)
    if roster.number < 1:
        raise BadFile("A roster is numbered from 1 on.")
    return roster


def roster_object(number: int) -> str:
    return f"{PLACE}{number:06}"
