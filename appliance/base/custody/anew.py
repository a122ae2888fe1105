"""What follows from a new card: what a stolen key signed is signed anew, and what was sealed to
keys that open no more is sealed anew, the old files taken away last.

Both may be cut short and done again: what is done already is left alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from appliance.age.sealing import seal
from appliance.age.unsealing import unseal
from appliance.base.cases import MOST_KEYS_OF_A_CASE, keys_there, put_key, secret_keys
from appliance.base.ledger import Kind, Ledger
from appliance.errors import BadInput, Incomplete, NoMatch, NotAFile
from appliance.protocol.cards import Card, CardChain
from appliance.protocol.objects import case_object
from appliance.records.signing import split_note
from appliance.stores.store import ServiceStore, read_small
from appliance.vault.keys import PrivateKeys

_NOTES: tuple[tuple[Kind, str], ...] = (
    ("answered", "answer"),
    ("revoked", "note"),
    ("ordered", "note"),
    ("emptied", "note"),
    ("setting", "note"),
    ("declined", "note"),
)
"""Not `held` and `lifted`: a hold is called by the digest of its note, and keeps what it keeps
whoever signed it."""


def sign_anew(ledger: Ledger, keys: PrivateKeys) -> int:
    """Sign again, once for each card, whatever the ledger holds that was signed with a key which
    the newest card leaves out; the store is mended by it then. Returns how many."""
    service = keys.chain
    once = f"{service.number:04}"
    if service.ever <= set(service.signing) or once in ledger.of("signed-anew"):
        return 0
    believed = {(key.name, key.hash) for key in service.signing}
    lines: list[tuple[Kind, dict[str, str]]] = []
    for kind, field in _NOTES:
        for line in ledger.of(kind).values():
            text, signatures = split_note(line.ids[field])
            if not any((name, key) in believed for name, key, _ in signatures):
                lines.append((kind, line.ids | {field: keys.signer.sign(text)}))
    ledger.write_all([*lines, ("signed-anew", {"name": once})])
    return len(lines)


def service_key_file(number: int, service: CardChain) -> str:
    """What a case's key file is called that is sealed to the service alone, by its newest card."""
    return f"identity-{number:04}-{service.slug}.age"


@dataclass(frozen=True)
class Resealed:
    """A case that was looked at."""

    case: str
    key: str = ""
    """The new key file at the store, '' where none was needed."""
    removed: tuple[str, ...] = ()
    """Key files that were sealed to keys which open no more."""
    why: str = ""
    """A sentence, where nothing was done."""


@dataclass(frozen=True)
class Verdict:
    """What the keys here say of a case's key files."""

    number: int = 0
    """Of the newest that opens, 0 where none does, or far too many keys are there."""
    sealed: bytes = b""
    """Its content, sealed anew; b"" where that is not needed."""
    left: tuple[str, ...] = ()
    """Files that only keys open which the newest card does not name."""


def verdict(
    keys: PrivateKeys, files: Iterable[tuple[str, int, bytes]], people: Sequence[Card] = ()
) -> Verdict:
    """Look at a case's key files, each with its name and number, and seal its key to those whom the
    newest card names; with `people` to them as well, and then nothing is left over."""
    found = list(_opened(keys, files))
    if not found:
        return Verdict()
    newest = found[-1].number
    # The newest first. Another home with the same case has keys of its own.
    every = dict.fromkeys(line for one in reversed(found) for line in one.lines)
    if len(every) > MOST_KEYS_OF_A_CASE:
        return Verdict()
    secrets = "".join(f"{line}\n" for line in every).encode()
    if people:
        return Verdict(newest, seal(secrets, keys.chain.recipients(*people)))
    # What holds a line that is no key of today's is not taken away: nobody knows what it was.
    left = tuple(one.name for one in found if not one.in_force and one.whole)
    stay = {line for one in found if one.in_force for line in one.lines}
    needed = not stay >= set(every)
    return Verdict(newest, seal(secrets, keys.chain.recipients()) if needed else b"", left)


def has_keys(ledger: Ledger, case: str) -> bool:
    """True while a case's keys stay at the store: after a withdrawal, too, where a hold keeps them.
    Whoever placed it would find nothing that opens once today's keys of the service are gone."""
    closing = ledger.closing(case)
    return closing is None or bool(closing.ids["held"])


def opened(keys: PrivateKeys, files: Iterable[tuple[str, int, bytes]]) -> list[str]:
    """Every secret key that these key files of a case hold, as far as a key here opens them."""
    return list(dict.fromkeys(line for one in _opened(keys, files) for line in one.lines))


def files_of(store: ServiceStore, case: str) -> list[tuple[str, int, bytes]]:
    """The name, number and content of each key file of a case."""
    found = []
    for file in keys_there(store, case):
        name = case_object(case, file.file)
        with suppress(NotAFile):
            found.append((name, file.number, read_small(store, name) or b""))
    return found


def reseal(store: ServiceStore, keys: PrivateKeys, case: str, rehearse: bool = False) -> Resealed:
    """Seal a case's key to those whom the newest card names, then take away what was sealed to
    others. With `rehearse` only what would go is said. Raises SendInterrupted, SendRefused."""
    said = verdict(keys, files_of(store, case))
    if not said.number:
        return Resealed(case, why="No key here opens it, or it holds far too many.")
    if rehearse:
        return Resealed(case, removed=said.left)
    return put_resealed(store, keys, case, said)


def put_resealed(store: ServiceStore, keys: PrivateKeys, case: str, said: Verdict) -> Resealed:
    """Put what was sealed anew at the store, then take away what is left over. Raises
    SendInterrupted, SendRefused."""
    key = ""
    if said.sealed:
        key = case_object(case, service_key_file(said.number, keys.chain))
        put_key(store, keys, key, said.sealed)
    removed = [gone for name in said.left if name != key for gone in store.purge(name)]
    return Resealed(case, key, tuple(removed))


@dataclass(frozen=True)
class _Opened:
    """A key file that a key here opens."""

    name: str
    number: int
    lines: list[str]
    whole: bool
    """False where it holds more than these."""
    in_force: bool
    """False where it was sealed to others than those whom the newest card names."""


def _opened(keys: PrivateKeys, files: Iterable[tuple[str, int, bytes]]) -> Iterator[_Opened]:
    """Nothing shows to whom a file is sealed but who opens it: all the keys here that the newest
    card names, and none that it does not. What was sealed here by that card says so by its name."""
    named = set(map(str, keys.chain.sealing_keys()))
    for name, number, sealed in files:
        lines, whole = list[str](), False
        opens: set[str] = set()
        for identity in keys.identities:
            with suppress(BadInput, Incomplete, NoMatch):
                lines, whole = secret_keys(unseal(sealed, [identity]))
                opens.add(str(identity.recipient))
        if not lines:
            continue
        here = {str(one.recipient) for one in keys.identities}
        ours = name.rpartition("/")[2] == service_key_file(number, keys.chain)
        right = bool(named & opens) and (ours or opens == here & named)
        yield _Opened(name, number, lines, whole, right)
