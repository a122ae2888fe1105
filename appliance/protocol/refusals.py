"""The service's no to an order that waited for its yes: signed, and answered to the kits.

Nothing ends by it. What the family asked for stays closed on the kit that it asked, and counts as
soon as somebody of its team, or the service itself, asks for it again.

    tombstones/<order>              a withdrawal, of a case or of one film; its answer replaces it
    holds/<case>/<hold>-refused     a hold
    inbox/refused-<order or hold>   the same on a kit
"""

import re
from pathlib import Path
from typing import Literal

from appliance.errors import BadInput
from appliance.protocol.cards import CardChain
from appliance.protocol.objects import hold_object, tombstone_object
from appliance.records.files import Fact, Home, Timestamp, read_text

What = Literal["case", "film", "hold"]
REFUSED_HOLD = re.compile(r"(?P<hold>[0-9a-f]{16})-refused")


class OrderRefused(Fact, frozen=True, kw_only=True, tag="order-refused/v1"):
    """The service does not carry this order out. Signed by the service."""

    order: str
    """Its id; of a hold, its name."""
    case: str
    what: What
    at: Timestamp


def refusal_object(what: What, case: str, order: str) -> str:
    """Where the service's no to an order lies. Raises BadFile for what is no id."""
    return f"{hold_object(case, order)}-refused" if what == "hold" else tombstone_object(order)


def read_refusal(note: str | bytes, service: CardChain, case: str, order: str) -> OrderRefused:
    """The service's no to this order. Raises BadInput for anything else."""
    refused = service.word(note, OrderRefused)
    if (refused.case, refused.order) != (case, order):
        raise BadInput("This is the answer to another order.")
    return refused


def refusal_path(home: Home, order: str) -> Path:
    """The same in a kit's inbox."""
    return home.inbox / f"refused-{order}"


def refusal_here(home: Home, service: CardChain, case: str, order: str) -> OrderRefused | None:
    """The service's no that came in here; None where there is none."""
    try:
        return read_refusal(read_text(refusal_path(home, order)), service, case, order)
    except (BadInput, OSError):
        return None
