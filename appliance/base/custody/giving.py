"""One case, carried to the opening key on a stick (`custody.stick`) to be opened there for somebody
who has a right to it (`keeping.exporting`).

Its objects go onto the stick as they lie at the store, sealed; so do the logs that its kits have
sent. What comes back is that it was done.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from appliance.base.custody.carrying import check_open, withdrawn
from appliance.base.custody.stick import (
    AnyAnswer,
    AskedExport,
    GivenOut,
    carried,
    check_room,
    clear,
    put_answer,
    put_ask,
)
from appliance.base.keeping.exporting import FILMS, PARTS, Exported
from appliance.base.ledger import Ledger
from appliance.errors import BadFile, BadInput
from appliance.protocol.cards import Card, KitCard
from appliance.protocol.objects import case_object, heads_object, logs_object, tombstone_object
from appliance.records.clock import Clock
from appliance.records.files import checked_id
from appliance.stores import open_store
from appliance.stores.store import (
    BLOCK,
    Entry,
    ServiceStore,
    checked_name,
    is_there,
    measure,
    pieces,
)
from appliance.vault.keys import PrivateKeys

OLDEST = timedelta(days=14)
"""A case that was asked for before is not opened: its family may have withdrawn."""

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Copied:
    """A case that lies on a stick."""

    id: str
    case: str
    objects: dict[str, str]
    """By their names at the store, each with its SHA-256 (hex)."""


def copy(
    store: ServiceStore,
    directory: Path,
    name: str,
    case: str,
    kits: Sequence[KitCard],
    progress: Progress,
) -> Copied:
    """Copy what an export needs onto a stick, for a question of this id. Raises BadInput,
    CaseWithdrawn, NotPossible where there is not room enough, SendInterrupted, SendRefused."""
    if is_there(store, tombstone_object(checked_id(case))):
        raise withdrawn(case)
    entries = list(_objects(store, case, kits))
    if not any(entry.name.startswith("cases/") for entry in entries):
        raise BadInput("There is no such case at this store.", "attune base STORE cases")
    check_room(directory, [entry.size for entry in entries])
    objects = dict[str, str]()
    for entry in _with_a_word(entries, progress):
        sha256 = _copy(store, entry.name, carried(directory, name))
        if sha256:
            objects[entry.name] = sha256
    os.sync()
    return Copied(name, case, objects)


def ask(
    store: ServiceStore,
    keys: PrivateKeys,
    ledger: Ledger,
    clock: Clock,
    directory: Path,
    copied: Copied,
    people: Sequence[Card],
    kits: Sequence[KitCard],
) -> None:
    """Ask for what was copied to be opened. Raises CaseWithdrawn."""
    check_open(store, ledger, copied.case)
    asked = AskedExport(
        id=copied.id,
        at=clock.read().wall,
        card=keys.chain.digest,
        case=copied.case,
        people=tuple(people),
        kits=tuple(kits),
        objects=copied.objects,
    )
    put_ask(directory, keys, ledger, asked)


def check_carried(
    clock: Clock, directory: Path, asked: AskedExport, progress: Progress
) -> ServiceStore:
    """What was carried, as a store: just what was asked for, whole. The caller closes it. Raises
    BadInput, SendFailed."""
    if clock.read().wall - asked.at > OLDEST:
        raise BadInput(
            f"This was asked for more than {OLDEST.days} days ago: the family may have withdrawn.",
            "Ask anew. If it was not, set the clock here.",
        )
    folder = carried(directory, asked.id)
    if not folder.is_dir():
        raise BadFile("What was asked for is missing on the stick.", "Copy the whole folder.")
    store = open_store(folder.absolute().as_uri())
    there = list(store.list(""))
    if extra := {entry.name for entry in there} ^ set(asked.objects):
        raise BadFile(
            f"What lies on the stick is not what was asked for: {min(extra)}",
            "Copy the whole folder again, or ask anew.",
        )
    for entry in _with_a_word(there, progress):
        file = store.open(entry.name)
        if file is None:
            raise BadFile("A file is missing on the stick.", "Copy the whole folder.")
        with file:
            if measure(file).sha256 != asked.objects[entry.name]:
                raise BadFile("A file on the stick was damaged.", "Copy the whole folder again.")
    return store


def answer(
    keys: PrivateKeys, clock: Clock, directory: Path, asked: AskedExport, done: Exported
) -> None:
    """Say on the stick that the case was given out. Raises NotPossible where it is full."""
    told = GivenOut(
        id=asked.id,
        at=clock.read().wall,
        case=asked.case,
        films=done.films,
        problems=len(done.problems),
    )
    put_answer(directory, keys, told)


def take(ledger: Ledger, directory: Path, asked: AskedExport, told: AnyAnswer) -> GivenOut:
    """Write down that a case was given out. Raises BadInput for what is no answer to that."""
    if not isinstance(told, GivenOut) or told.case != asked.case:
        raise BadFile("This answer speaks of what was not asked for.")
    ledger.write_all([
        ("exported", {"name": asked.case, "films": str(told.films)}),
        ("taken", {"name": asked.id}),
    ])  # fmt: skip
    clear(directory)
    return told


def taken_back(ledger: Ledger, asked: AskedExport) -> list[str]:
    """Films that were carried, and that the family has taken back by now."""
    answered = ledger.of("answered").values()
    gone = {line.ids["film"] for line in answered if line.ids["case"] == asked.case}
    place = tuple(case_object(asked.case, f"{kind}/") for kind in FILMS)
    return sorted(gone & {name.split("/")[3] for name in asked.objects if name.startswith(place)})


def _objects(store: ServiceStore, case: str, kits: Sequence[KitCard]) -> Iterator[Entry]:
    """All that an export reads."""
    for part in (*PARTS, *(f"{kind}/" for kind in FILMS)):
        yield from store.list(case_object(case, part))
    for kit in kits:
        yield from store.list(logs_object(kit.id, ""))
        yield from store.list(heads_object(kit.id, ""))


def _with_a_word(entries: Sequence[Entry], progress: Progress) -> Iterator[Entry]:
    """Each of them, and at each folder a word of how far it has come."""
    every, done, before = sum(entry.size for entry in entries) or 1, 0, ""
    for entry in entries:
        folder = entry.name.rpartition("/")[0]
        if folder != before:
            progress(f"{100 * done // every:3} %  {folder}")
        yield entry
        before, done = folder, done + entry.size


def _copy(store: ServiceStore, name: str, to: Path) -> str:
    """One object, as it is; returns its SHA-256 (hex), '' where it has gone meanwhile."""
    file = store.open(checked_name(name))
    if file is None:
        return ""
    path, digest = to / name, hashlib.sha256()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file, open(path, "xb") as made:
        for piece in pieces(file, BLOCK):
            digest.update(piece)
            made.write(piece)
    return digest.hexdigest()
