"""The service's own word at its store: whose store it is, and what is signed there for kits."""

import io
from collections.abc import Callable, Sequence
from datetime import datetime

from appliance.base.ledger import Ledger
from appliance.errors import BadInput, NotAFile, SendInterrupted, SendRefused
from appliance.protocol.cards import CardChain
from appliance.protocol.objects import SERVICE_CARD, service_order_object
from appliance.protocol.orders import Order, Reset, signed_order
from appliance.records.files import Fact, to_json
from appliance.records.signing import Signer, sign_fact
from appliance.stores.store import Put, ServiceStore, read_small
from appliance.vault.keys import PrivateKeys


def choose_keys(store: ServiceStore, keys: Sequence[PrivateKeys]) -> PrivateKeys:
    """Those of the service's keys that this store belongs to.

    Raises SendRefused if it is no service's store yet or another's: an empty folder with the right
    name may be a share that is not mounted.
    """
    data = read_small(store, SERVICE_CARD)
    if data is None:
        raise SendRefused(
            f"{store.url} is not the store of a service yet: its card is not there.",
            "Is the share mounted? If this is a new store, make it ready once, with the verb init.",
        )
    for mine in keys:
        if data == _card(mine):
            return mine
    raise SendRefused(
        f"{store.url} belongs to other keys than those given.",
        f"Give the keys of the service whose card lies there as {SERVICE_CARD}.",
    )


def make_new(store: ServiceStore, keys: PrivateKeys) -> None:
    """Make an empty store the service's own, so that kits will send to it. Safe to call again."""
    store.create(SERVICE_CARD, io.BytesIO(_card(keys)))


def place_order(
    store: ServiceStore,
    keys: PrivateKeys,
    ledger: Ledger,
    kit: str,
    order: Callable[[int], Order],
) -> int:
    """Sign the next order for a kit, write it in the ledger, and put it where the kit looks for it;
    returns its number.

    What lies under that number and is no order of ours makes way: no kit goes past it. Raises
    BadFile for what is no kit's id, SendInterrupted, SendRefused.
    """
    number = 1
    # Where the store is a copy from before, the kit may have heard more than lies there.
    while ordered(kit, number) in ledger.of("ordered") or _is_order(
        read_or_none(store, service_order_object(kit, number)), keys.chain, kit, number
    ):
        number += 1
    note = sign_fact(keys.signer, order(number))
    ledger.write("ordered", ordered(kit, number), note=note)
    put_note(store, service_order_object(kit, number), note.encode())
    return number


def ordered(kit: str, number: int) -> str:
    """What an order for a kit is called in the ledger."""
    return f"{kit}/{number:06}"


def order_reset(
    store: ServiceStore, keys: PrivateKeys, ledger: Ledger, kit: str, unsent: bool, now: datetime
) -> tuple[int, bytes]:
    """Order a kit to be set back, for other hands; returns the order's number and the signed order,
    which may be carried to a kit that does not send any more.

    Raises BadFile for what is no kit's id, SendInterrupted, SendRefused.
    """
    number = place_order(
        store, keys, ledger, kit, lambda n: Reset(number=n, kit=kit, unsent=unsent, at=now)
    )
    return number, ledger.of("ordered")[ordered(kit, number)].ids["note"].encode()


def _is_order(note: bytes | None, service: CardChain, kit: str, number: int) -> bool:
    try:
        order = signed_order(note or b"", service)
    except BadInput:
        return False
    return (order.kit, order.number) == (kit, number)


def put(store: ServiceStore, signer: Signer, where: str, fact: Fact) -> None:
    """Put a fact under a name, signed, in place of what may lie there."""
    put_note(store, where, sign_fact(signer, fact).encode())


def put_note(store: ServiceStore, where: str, note: bytes) -> tuple[str, ...]:
    """The same for what was signed already; returns the names of what made way. Raises
    SendInterrupted where somebody with a kit's way in puts something there each time."""
    gone: set[str] = set()
    for _ in range(3):
        gone.update(store.purge(where))
        if store.create(where, io.BytesIO(note)) is not Put.ALREADY_THERE:
            return tuple(sorted(gone))
    raise SendInterrupted(f"Something else comes back under {where}.", "It is tried again.")


def read_or_none(store: ServiceStore, name: str) -> bytes | None:
    """`read_small`, and none for what is no file: it makes way when something is put there."""
    try:
        return read_small(store, name)
    except NotAFile:
        return None


def _card(keys: PrivateKeys) -> bytes:
    return to_json(keys.card()) + b"\n"
