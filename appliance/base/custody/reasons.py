"""After a new card: why cases are held, sealed anew to those who open by it.

It keeps its name, so that the kit which sent it does not send it again. Whatever cuts it short, a
copy lies at the store, and it may be done again.
"""

from collections.abc import Iterator
from contextlib import suppress

from appliance.age.sealing import seal
from appliance.age.unsealing import unseal
from appliance.base.orders import put_note, read_or_none
from appliance.errors import BadInput, Incomplete, NoMatch
from appliance.protocol.hold_reasons import WHY_OBJECT, why_object
from appliance.stores.store import ServiceStore
from appliance.vault.keys import PrivateKeys


def reseal_reasons(store: ServiceStore, keys: PrivateKeys) -> Iterator[tuple[str, bool]]:
    """Each hold with a reason at the store, as CASE/HOLD, and whether a key here opens that. What
    was sealed to others than those whom the newest card names is sealed anew. Raises
    SendInterrupted, SendRefused."""
    names = [entry.name for entry in store.list("holds/")]
    found = {(why["case"], why["hold"]) for name in names if (why := WHY_OBJECT.fullmatch(name))}
    for case, hold in sorted(found):
        yield f"{case}/{hold}", _reseal(store, keys, case, hold)


def _reseal(store: ServiceStore, keys: PrivateKeys, case: str, hold: str) -> bool:
    where, aside = why_object(case, hold), why_object(case, hold, anew=True)
    there = read_or_none(store, where)
    if there is None:
        # It was cut short between the two.
        there = read_or_none(store, aside)
    text, right = _opened(keys, there or b"")
    if not text:
        return False
    if not right or read_or_none(store, where) is None:
        sealed = seal(text, keys.chain.recipients())
        put_note(store, aside, sealed)
        put_note(store, where, sealed)
    store.purge(aside)
    return True


def _opened(keys: PrivateKeys, sealed: bytes) -> tuple[bytes, bool]:
    """What is in a sealed file, b"" where no key here opens it; and whether all those keys here
    open it which the newest card names, and none that it does not."""
    text, opens = b"", set[str]()
    for identity in keys.identities:
        with suppress(BadInput, Incomplete, NoMatch):
            text = unseal(sealed, [identity])
            opens.add(str(identity.recipient))
    here = {str(one.recipient) for one in keys.identities}
    named = set(map(str, keys.chain.sealing_keys()))
    return text, bool(opens) and opens == here & named
