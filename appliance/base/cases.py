"""What of a case the service can read at its store: its key, and what is numbered in it."""

import hashlib
import io
from contextlib import suppress

from appliance.age.identities import identity_lines, parse_identity
from appliance.age.unsealing import unseal
from appliance.errors import BadInput, Incomplete, NoMatch, NotAFile, SendInterrupted
from appliance.protocol.names import Numbered, beside, numbered
from appliance.protocol.objects import case_object, tombstone_object
from appliance.records.files import ID
from appliance.stores.store import ServiceStore, is_there, read_small
from appliance.vault.keys import PrivateKeys

_MOST_KEYS = 64
"""In one file: a case gets another key when somebody leaves it, and no more often."""

MOST_KEYS_OF_A_CASE = 256
"""In all its files: what is sealed anew stays small enough to be read."""


def newest_key(store: ServiceStore, keys: PrivateKeys, case: str) -> tuple[int, bytes] | None:
    """Number and content of the newest key file that a kit sent of a case, with whatever keys of
    the case older files and those of other homes hold besides; None if there is none, or the family
    has withdrawn. Whoever has a kit's way in can put rubbish there: it is passed by. Raises NoMatch
    where none opens, or far too many are there."""
    files = keys_there(store, case)
    if not files or is_there(store, tombstone_object(case)):
        return None
    newest, secrets = 0, dict[str, None]()
    for file in reversed(files):
        with suppress(BadInput, Incomplete, NoMatch, NotAFile):
            found = unseal(read_small(store, case_object(case, file.file)) or b"", keys.identities)
            real, _whole = secret_keys(found)
            newest = newest or (file.number if real else 0)
            secrets |= dict.fromkeys(real)
    if not newest:
        raise NoMatch("The service's keys do not open it.", "Give the keys it was made with.")
    if len(secrets) > MOST_KEYS_OF_A_CASE:
        raise NoMatch(
            "It holds more keys than a case can have: somebody put rubbish there.",
            "Look at its key files: the kit's own is the oldest.",
        )
    return newest, "".join(f"{line}\n" for line in secrets).encode()


def secret_keys(opened: bytes) -> tuple[list[str], bool]:
    """The secret keys in a key file that was opened, and whether that is all that it holds. Of a
    line that is none nothing is passed on: one would make the whole file unreadable to a kit. A
    file with more than a kit ever writes is rubbish."""
    found = identity_lines(opened.decode(errors="replace"))
    if len(found) > _MOST_KEYS:
        return [], False
    real = []
    for line in found:
        with suppress(BadInput):
            parse_identity(line)
            real.append(line)
    return real, len(real) == len(found)


def put_key(store: ServiceStore, keys: PrivateKeys, name: str, sealed: bytes) -> None:
    """Put a case's key under a name of the service's own, in place of what lies there. That is put
    aside first, and goes only if all that is in it is seen here to be in the new file as well: at
    no moment is a key without a copy at the store. Raises SendInterrupted, SendRefused."""
    before = None
    with suppress(NotAFile):
        before = read_small(store, name)
    aside = ""
    if before is not None and before != sealed:
        own = numbered(name.rpartition("/")[2])
        home = own.home if own else ""
        aside = beside(name, home, hashlib.sha256(before).hexdigest())
        _put(store, aside, before)
    store.purge(name)
    _put(store, name, sealed)
    if aside and before is not None and _holds(keys, sealed, before):
        store.purge(aside)


def _put(store: ServiceStore, name: str, sealed: bytes) -> None:
    store.create(name, io.BytesIO(sealed))
    # Nothing is taken away for a key that the store does not give back.
    if read_small(store, name) != sealed:
        raise SendInterrupted(f"The store does not give back {name}.", "It is tried again.")


def _holds(keys: PrivateKeys, sealed: bytes, before: bytes) -> bool:
    """True if the keys here see that `sealed` holds whatever `before` does."""
    with suppress(BadInput, Incomplete, NoMatch):
        real, whole = secret_keys(unseal(before, keys.identities))
        return whole and set(real) <= set(secret_keys(unseal(sealed, keys.identities))[0])
    return False


def keys_there(store: ServiceStore, case: str) -> list[Numbered]:
    """The key files of a case, the oldest first: those that kits sent, and what the service sealed
    anew."""
    return _numbered(store, case, "", "identity")


def teams_there(store: ServiceStore, case: str) -> list[Numbered]:
    """Every version of the list of who works in a case, the oldest first."""
    return _numbered(store, case, "documents/", "team")


def _numbered(store: ServiceStore, case: str, folder: str, stem: str) -> list[Numbered]:
    names = [entry.name for entry in store.list(case_object(case, f"{folder}{stem}-"))]
    found = (numbered(name.removeprefix(case_object(case, folder))) for name in names)
    # They are counted from 1: nothing comes before the first.
    real = [one for one in found if one is not None and one.stem == stem and one.number]
    return sorted(real, key=lambda one: (one.number, one.file))


def every_case(store: ServiceStore) -> list[str]:
    names = {entry.name.split("/")[1] for entry in store.list("cases/")}
    return sorted(name for name in names if ID.fullmatch(name))
