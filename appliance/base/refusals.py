"""The service's no to an order that waits for its yes (`protocol.refusals`).

It is written in the ledger and answered to the kits. It removes nothing and takes no right away: a
later order by somebody who may give it counts, and so does the service's own.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from appliance.base.ledger import Ledger
from appliance.base.orders import put_note, read_or_none
from appliance.errors import BadInput
from appliance.protocol.cards import CardChain
from appliance.protocol.objects import order_object
from appliance.protocol.refusals import REFUSED_HOLD, OrderRefused, What, refusal_object
from appliance.records.files import ID
from appliance.records.signing import Signer, fact_in, sign_fact
from appliance.stores.store import ServiceStore

_HOLD = re.compile(rf"(?:holds/)?(?P<case>{ID.pattern})/(?P<hold>[0-9a-f]{{16}})")


def refuse(
    store: ServiceStore,
    signer: Signer,
    ledger: Ledger,
    what: What,
    case: str,
    order: str,
    now: datetime,
) -> None:
    """Say no to an order that is seen to wait. Raises SendInterrupted, SendRefused."""
    note = sign_fact(signer, OrderRefused(order=order, case=case, what=what, at=now))
    ledger.write_all([("declined", _line(store, what, case, order, note))])
    put_note(store, refusal_object(what, case, order), note.encode())


def told(ledger: Ledger) -> dict[str, bytes]:
    """What is to lie at the store, by its name there. A film's answer takes the place of a no."""
    found = {}
    for line in ledger.of("declined").values():
        refused = fact_in(line.ids["note"], OrderRefused)
        if refused.what != "film" or refused.order not in ledger.of("answered"):
            where = refusal_object(refused.what, refused.case, refused.order)
            found[where] = line.ids["note"].encode()
    return found


def learn(store: ServiceStore, service: CardChain, ledger: Ledger) -> Iterator[dict[str, str]]:
    """The lines that are to be written of what the store shows with this service's signature.
    Raises SendInterrupted, SendRefused."""
    names = [entry.name for entry in store.list("tombstones/")]
    names += [
        entry.name
        for entry in store.list("holds/")
        if REFUSED_HOLD.fullmatch(entry.name.rpartition("/")[2])
    ]
    for name in names:
        note = (read_or_none(store, name) or b"").decode(errors="replace")
        with suppress(BadInput):
            refused = service.word(note, OrderRefused)
            if refusal_object(refused.what, refused.case, refused.order) == name:
                line = _line(store, refused.what, refused.case, refused.order, note)
                if line["name"] not in ledger.of("declined"):
                    yield line


def _line(store: ServiceStore, what: What, case: str, order: str, note: str) -> dict[str, str]:
    if what == "hold":
        return {"name": f"{case}/{order}", "case": case, "asked": "", "note": note}
    asked = (read_or_none(store, order_object(order)) or b"").decode(errors="replace")
    return {"name": order, "case": case, "asked": asked, "note": note}


def hold_in(name: str) -> tuple[str, str] | None:
    """Case and name of the hold that lies under this name, or that is called CASE/HOLD."""
    found = _HOLD.fullmatch(name)
    return (found["case"], found["hold"]) if found else None
