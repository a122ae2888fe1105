"""An audit's part for the opening key, carried to it on a stick (`custody.stick`): whether each
case's key really opens.

Carried are the sealed key files alone. What comes back says of each, by its content, which keys it
holds: an audit beside the store holds that against the manifests that lie there then.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.age.identities import parse_identity
from appliance.age.unsealing import unseal
from appliance.base.cases import every_case, secret_keys
from appliance.base.custody.anew import files_of, has_keys
from appliance.base.custody.stick import (
    AskedAudit,
    KeysOpened,
    begin,
    clear,
    nothing_half,
    put_answer,
    put_ask,
    put_file,
    read_answer,
    read_file,
)
from appliance.base.ledger import Ledger
from appliance.errors import BadInput, Incomplete, NoMatch
from appliance.protocol.permits import recipient_digest
from appliance.records.clock import Clock
from appliance.records.files import new_id
from appliance.stores.store import ServiceStore
from appliance.vault.keys import PrivateKeys


def ask(
    store: ServiceStore, keys: PrivateKeys, ledger: Ledger, clock: Clock, directory: Path
) -> int:
    """Put every case's key files on a stick; returns how many. Raises BadInput where it holds
    something that was not taken yet, NotPossible where it is full."""
    begin(directory)
    with nothing_half(directory, "asked", "cards", "ask"):
        files = {
            put_file(directory / "asked", sealed)
            for case in every_case(store)
            if has_keys(ledger, case)
            for _name, _number, sealed in files_of(store, case)
        }
        asked = AskedAudit(
            id=new_id(),
            at=clock.read().wall,
            card=keys.chain.digest,
            files=tuple(sorted(files)),
        )
        put_ask(directory, keys, ledger, asked)
    return len(files)


def answer(keys: PrivateKeys, clock: Clock, directory: Path, asked: AskedAudit) -> KeysOpened:
    """Open each key file with the keys here that the newest card names, and write on the stick what
    each holds. Safe to call again. Raises BadInput, NoMatch where no such key is here, NotPossible
    where the stick is full."""
    named = set(map(str, keys.chain.sealing_keys()))
    identities = [one for one in keys.identities if str(one.recipient) in named]
    if not identities:
        raise NoMatch(
            "No key here opens by the service's newest card.",
            "Do this where the opening key is, with its folder as KEYS.",
        )
    held: dict[str, tuple[str, ...]] = {}
    for digest in asked.files:
        sealed, lines = read_file(directory / "asked", digest), list[str]()
        with suppress(BadInput, Incomplete, NoMatch):
            lines, _whole = secret_keys(unseal(sealed, identities))
        recipients = (str(parse_identity(line).recipient) for line in lines)
        held[digest] = tuple(recipient_digest(one) for one in recipients)
    told = KeysOpened(id=asked.id, at=clock.read().wall, held=held)
    with nothing_half(directory, "answer"):
        put_answer(directory, keys, told)
    return told


@dataclass(frozen=True)
class Seen:
    """What an opening key has seen elsewhere."""

    id: str
    """Of what was asked."""
    held: Mapping[str, tuple[str, ...]]
    """By the SHA-256 (hex) of each key file that was carried, the digests of the recipients of the
    keys in it; none where it does not open."""


def read(keys: PrivateKeys, ledger: Ledger, directory: Path) -> Seen:
    """What was answered. Raises BadInput for what is no answer to an audit that was asked for here,
    or was taken in before."""
    asked, told = read_answer(keys, ledger, directory)
    if not isinstance(asked, AskedAudit) or not isinstance(told, KeysOpened):
        raise BadInput("This is no answer to an audit.", "Take it in with: ask DIR --take")
    return Seen(asked.id, {digest: told.held.get(digest, ()) for digest in asked.files})


def taken(ledger: Ledger, directory: Path, seen: Seen) -> None:
    """Write down that this answer counted, and make room on the stick."""
    ledger.write("taken", seen.id)
    clear(directory)
