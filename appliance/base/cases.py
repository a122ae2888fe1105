"""What of a case the service can read at its store: its key, and what is numbered in it."""

import re
from contextlib import suppress

from appliance.age.unsealing import unseal
from appliance.errors import BadInput, Incomplete, NoMatch
from appliance.protocol.objects import case_object, tombstone_object
from appliance.records.files import ID
from appliance.stores.store import ServiceStore, is_there, read_small
from appliance.vault.keys import PrivateKeys

_NUMBER = re.compile("[0-9]{4}")


def newest_key(store: ServiceStore, keys: PrivateKeys, case: str) -> tuple[int, bytes] | None:
    """Number and content of the newest key file that a kit sent of a case; None if there is none,
    or the family has withdrawn. Whoever has a kit's way in can put rubbish on top: it is passed by.
    Raises NoMatch where none opens."""
    names = numbered(store, case, "identity-")
    if not names or is_there(store, tombstone_object(case)):
        return None
    for number, name in reversed(names):
        with suppress(BadInput, Incomplete, NoMatch):
            return number, unseal(read_small(store, name) or b"", [keys.identity])
    raise NoMatch("The service's keys do not open it.", "Give the keys it was made with.")


def numbered(store: ServiceStore, case: str, stem: str) -> list[tuple[int, str]]:
    prefix = case_object(case, stem)
    names = [entry.name for entry in store.list(prefix)]
    return [
        (int(number), name)
        for name in sorted(names)
        if _NUMBER.fullmatch(number := name.removeprefix(prefix).removesuffix(".age"))
    ]


def every_case(store: ServiceStore) -> list[str]:
    names = {entry.name.split("/")[1] for entry in store.list("cases/")}
    return sorted(name for name in names if ID.fullmatch(name))
