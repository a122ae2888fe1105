"""The service's no to orders of this kit: brought in, so that its page says so."""

from collections.abc import Iterator
from contextlib import suppress

from appliance.errors import BadFile, BadInput
from appliance.protocol.cards import CardChain
from appliance.protocol.case_record import film_order, films_withdrawn, withdrawal_note
from appliance.protocol.orders import FilmWithdrawal, hold_name
from appliance.protocol.refusals import (
    What,
    read_refusal,
    refusal_here,
    refusal_object,
    refusal_path,
)
from appliance.records.audit import Log
from appliance.records.files import Home, checked_id, read_text, save
from appliance.stores.store import Store
from appliance.sync.orders import is_answered, read_there


def hear_refusals(home: Home, store: Store, case: str, service: CardChain, log: Log) -> None:
    """Bring in what the service has refused of a case. Raises SendInterrupted, SendRefused."""
    for what, order in _asked(home, case):
        if what != "hold" and is_answered(home, order, service):
            continue
        if refusal_here(home, service, case, order):
            continue
        note = read_there(store, refusal_object(what, case, order))
        if note is None:
            continue
        # An answer may lie there as well; whatever else does is false.
        with suppress(BadInput):
            read_refusal(note, service, case, order)
            save(refusal_path(home, order), note)
            log.write("refusal-received", case=case, order=order)


def _asked(home: Home, case: str) -> Iterator[tuple[What, str]]:
    """What was asked of the service in this case, as far as it can be read."""
    directory = home.case(case)
    with suppress(BadFile, OSError):
        found = withdrawal_note(directory)
        if found is not None:
            yield "case", checked_id(found[0].id)
    with suppress(BadFile, OSError):
        for film in films_withdrawn(directory):
            with suppress(BadFile, OSError):
                order = film_order(directory, film)
                if isinstance(order, FilmWithdrawal):
                    yield "film", checked_id(order.id)
    with suppress(BadFile, OSError):
        yield "hold", hold_name(read_text(directory.hold).encode())
