"""Films that have left this card (`protocol.emptying`): their bytes are at the service and nowhere
else, so that they are there is looked at, and a loss is told.

Nothing of them is sent, nor ordered to be removed.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress

from appliance.errors import BadFile, BadInput, NotAFile
from appliance.protocol.cards import CardChain, KitCard
from appliance.protocol.emptying import FILMS_READ, FilmsRead, films_read_object, is_emptied
from appliance.protocol.orders import LARGEST
from appliance.protocol.status import Problem
from appliance.records.files import ID, Home, paths_in, read_text, save
from appliance.stores.store import Content, Store, measure
from appliance.sync.orders import read_there
from appliance.sync.plan import Sealed


def emptied_here(home: Home) -> list[str]:
    """The films of which only the manifest is here. Where that cannot be told, `look` says so."""
    with suppress(BadFile, OSError):
        return [path.name for path in paths_in(home.recordings, ID) if is_emptied(home, path.name)]
    return []


def bring_films_read(home: Home, store: Store, kit: KitCard, service: CardChain) -> None:
    """Fetch which films of this kit the service has read whole, unless what is here is as new.
    Raises SendInterrupted, SendRefused."""
    note = read_there(store, films_read_object(kit.id)) or b""
    with suppress(BadInput):
        read = service.word(note, FilmsRead)
        known = _known(home, service)
        if read.kit == kit.id and (known is None or known.at < read.at):
            save(home.inbox / FILMS_READ, note)


def _known(home: Home, service: CardChain) -> FilmsRead | None:
    with suppress(BadInput, OSError):
        return service.word(read_text(home.inbox / FILMS_READ, LARGEST), FilmsRead)
    return None


def look_again(
    store: Store,
    parts: Iterable[Sealed],
    confirm: Callable[[str, Content], object],
    alive: Callable[[], object],
) -> list[Problem]:
    """Read back each of these files, which nothing confirms any more: what is whole is confirmed
    anew, and a film that is not is told once. Raises SendInterrupted, SendRefused."""
    lost = set()
    for sealed in parts:
        there = _read(store, sealed.object, alive)
        if there is not None and (there.size, there.sha256) == (sealed.size, sealed.sha256):
            confirm(sealed.object, there)
        else:
            lost.add(sealed.object.rpartition("/")[0])
    return [Problem(object=film, code="emptied-lost") for film in sorted(lost)]


def _read(store: Store, name: str, alive: Callable[[], object]) -> Content | None:
    with suppress(NotAFile):
        file = store.open(name)
        if file is not None:
            with file:
                return measure(file, alive)
    return None
