"""For how many days the service keeps films after they may go: its own number, signed.

It stands in the ledger, and at the store, from where it is taken up again if the ledger is lost.

    service/retention    a DaysKept
"""

from contextlib import suppress
from datetime import datetime

from appliance.base.ledger import Ledger
from appliance.base.orders import put_note, read_or_none
from appliance.errors import BadInput
from appliance.protocol.cards import CardChain
from appliance.records.files import Fact, Timestamp
from appliance.records.signing import Signer, fact_in, sign_fact
from appliance.stores.store import ServiceStore

AT_FIRST = 30
"""Days, where the service has set none."""
DAYS = "service/retention"


class DaysKept(Fact, frozen=True, kw_only=True, tag="days-kept/v1"):
    """Signed by the service."""

    days: int
    at: Timestamp


def days_kept(ledger: Ledger) -> int:
    """How many days films are kept."""
    line = ledger.of("setting").get(DAYS)
    return fact_in(line.ids["note"], DaysKept).days if line else AT_FIRST


def keep_for(store: ServiceStore, signer: Signer, ledger: Ledger, days: int, now: datetime) -> None:
    """Set another number. Raises SendInterrupted, SendRefused."""
    note = sign_fact(signer, DaysKept(days=days, at=now))
    ledger.write("setting", DAYS, note=note)
    put_note(store, DAYS, note.encode())


def days_there(store: ServiceStore, service: CardChain) -> str:
    """The number as the store shows it with this service's signature, a note; '' for none. Raises
    SendInterrupted, SendRefused."""
    note = (read_or_none(store, DAYS) or b"").decode(errors="replace")
    with suppress(BadInput):
        if service.word(note, DaysKept).days > 0:
            return note
    return ""
