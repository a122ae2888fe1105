"""What of a case the service can read at its store: its key, and what is numbered in it."""

from contextlib import suppress

from appliance.age.identities import identity_lines
from appliance.age.unsealing import unseal
from appliance.errors import BadInput, Incomplete, NoMatch
from appliance.protocol.names import Numbered, numbered
from appliance.protocol.objects import case_object, tombstone_object
from appliance.records.files import ID
from appliance.stores.store import ServiceStore, is_there, read_small
from appliance.vault.keys import PrivateKeys


def newest_key(store: ServiceStore, keys: PrivateKeys, case: str) -> tuple[int, bytes] | None:
    """Number and content of the newest key file that a kit sent of a case, with whatever keys of
    the case older files and those of other homes hold besides; None if there is none, or the family
    has withdrawn. Whoever has a kit's way in can put rubbish there: it is passed by. Raises NoMatch
    where none opens."""
    files = keys_there(store, case)
    if not files or is_there(store, tombstone_object(case)):
        return None
    newest, secrets = 0, dict[str, None]()
    for file in reversed(files):
        with suppress(BadInput, Incomplete, NoMatch, UnicodeDecodeError):
            found = unseal(read_small(store, case_object(case, file.file)) or b"", keys.identities)
            newest = newest or file.number
            secrets |= dict.fromkeys(identity_lines(found.decode()))
    if not newest:
        raise NoMatch("The service's keys do not open it.", "Give the keys it was made with.")
    return newest, "".join(f"{line}\n" for line in secrets).encode()


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
