"""What the service found when it looked whether its store holds what it should: a signed note, so
that whoever relies on the store can say when that was, and what was looked at.

    audits/000001     at the store
    audits/newest     the same once more
    inbox/audit       that, on a kit which was ordered to be set back
"""

import hashlib
from contextlib import suppress
from datetime import timedelta

from appliance.errors import BadInput
from appliance.protocol.cards import CardChain
from appliance.records.files import Fact, Timestamp

AUDIT = "audit"
"""The newest in a kit's inbox."""
NAMED = 200
"""Names of objects that an audit lists: as many as fit into a note, with room for more."""
NAMED_CASES = 1000
"""Cases that it lists where more objects are lost than that."""
SEEN = 1500
"""Films that go with an order which is carried by hand: it still fits beside the longest audit."""
FRESH = timedelta(days=7)
"""An audit that is older says nothing of what the store holds now."""


class StoreAudit(Fact, frozen=True, kw_only=True, tag="store-audit/v1"):
    """One look through the service's store. Signed by the service.

    Looked at were the listing and every film's signed manifest. A document whose name is not
    there any more is missed by nobody but the kit that sent it.
    """

    number: int
    at: Timestamp
    """When it began."""
    objects: int
    cases: int
    films: int
    read: int
    """Files of films that were read whole and compared with what their kit signed."""
    opened: bool
    """Each case's key was opened. Otherwise only that it is a sealed file, to so many, was seen."""
    waiting: int
    """Orders that were not carried out."""
    found: dict[str, int]
    """What is not as it should be: how often, by its code."""
    lost: tuple[str, ...]
    """Objects that are gone or another; a folder stands for all of it. At most `NAMED`, or as many
    cases as `NAMED_CASES`. Folders of which nobody can say that they were ever a case come last,
    while there is room."""
    more: int
    """So many are lost besides."""


class FilmsSeen(Fact, frozen=True, kw_only=True, tag="films-seen/v1"):
    """Which films of one kit an audit saw at the store, each with every file that its manifest
    names. Signed by the service; it goes with an order that is carried to a kit by hand."""

    kit: str
    audit: str
    """SHA-256 (hex) of the audit, as it was signed."""
    at: Timestamp
    films: tuple[str, ...]
    """At most `SEEN`."""


def with_audit(order: str, audit: str, seen: str = "") -> str:
    """An order and the service's audit of its store, signed notes in one text; behind them, for a
    kit that cannot look itself, which of its films were seen."""
    return "\n".join(filter(None, (order, audit, seen)))


def order_and_audit(text: str) -> tuple[str, str]:
    """The first two of them, '' for an audit that is not there."""
    order, audit, _ = _split(text)
    return order, audit


def films_seen(text: str, kit: str, service: CardChain) -> set[str]:
    """The films of a kit that the service saw in the audit which lies beside this order; none where
    it did not say so."""
    _order, audit, note = _split(text)
    with suppress(BadInput):
        seen = service.word(note, FilmsSeen)
        if (seen.kit, seen.audit) == (kit, digest(audit)):
            return set(seen.films)
    return set()


def digest(audit: str) -> str:
    """By which `FilmsSeen` names an audit."""
    return hashlib.sha256(audit.encode()).hexdigest()


def _split(text: str) -> tuple[str, str, str]:
    first, *rest = text.split("\n\n{", 2)
    notes = [first, *(f"{{{note}" for note in rest)]
    # What parted them took the end of the line before.
    notes = [*(f"{note}\n" for note in notes[:-1]), notes[-1]]
    order, audit, seen = [*notes, "", ""][:3]
    return order, audit, seen
