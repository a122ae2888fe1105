"""What the service found when it looked whether its store holds what it should: a signed note, so
that whoever relies on the store can say when that was, and what was looked at.

    audits/000001     at the store
    audits/newest     the same once more
    inbox/audit       that, on a kit which was ordered to be set back
"""

from datetime import timedelta

from appliance.records.files import Fact, Timestamp

AUDIT = "audit"
"""The newest in a kit's inbox."""
NAMED = 200
"""Names that an audit lists: as many as fit into a note, with room for more."""
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
    """Objects that are gone or another; a folder stands for all of it. At most `NAMED`."""
    more: int
    """So many are lost besides."""


def with_audit(order: str, audit: str) -> str:
    """An order and the service's audit of its store, two signed notes in one text."""
    return f"{order}\n{audit}" if audit else order


def order_and_audit(text: str) -> tuple[str, str]:
    """The two of them, '' for an audit that is not there."""
    order, found, audit = text.partition("\n\n{")
    return (f"{order}\n", f"{{{audit}") if found else (text, "")
