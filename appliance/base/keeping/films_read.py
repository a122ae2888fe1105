"""Telling kits which of their films the service has read whole at its store, so that a film may
leave a card (`protocol.emptying`). Each audit that reads whole films of a kit signs it anew.

What was taken back, is held or belongs to a case that was closed is never named.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from appliance.base.orders import put_note, read_or_none
from appliance.protocol.emptying import MOST_NAMED, FilmsRead, films_read_object
from appliance.records.signing import sign_fact
from appliance.stores.store import ServiceStore
from appliance.vault.keys import PrivateKeys


@dataclass(frozen=True)
class FilmRead:
    """A film of which every byte was read and is what its manifest says."""

    kit: str
    case: str
    film: str
    manifest: str
    """SHA-256 (hex) of its signed manifest, as it was read."""


def tell_kits(
    store: ServiceStore,
    keys: PrivateKeys,
    kits: Iterable[str],
    films: Iterable[FilmRead],
    kept: Callable[[FilmRead], object],
    began: datetime,
    lost: bool,
) -> None:
    """Sign for each of these kits which of its films were read in a look that `began` then. Where
    something was `lost`, what was said before to the others is taken back. `kept` says whether
    something keeps a film. Raises SendInterrupted, SendRefused."""
    free = [film for film in films if not kept(film)]
    for kit in kits:
        named = [(film.film, film.manifest) for film in free if film.kit == kit]
        where = films_read_object(kit)
        if named or (lost and read_or_none(store, where) is not None):
            read = FilmsRead(kit=kit, at=began, films=dict(named[:MOST_NAMED]))
            put_note(store, where, sign_fact(keys.signer, read).encode())
