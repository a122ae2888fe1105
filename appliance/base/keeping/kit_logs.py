"""What a kit's logs say, from the parts that it sent before it was lost or set back.

A part counts if this kit's recorder signed it. The lines of each process are put together as a
chain again, and held against the newest signed note of how far it had come: what was altered, or
has not come, is told.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from appliance.age.unsealing import Identity, unseal
from appliance.errors import BadInput, Incomplete, NoMatch
from appliance.protocol.cards import KitCard
from appliance.protocol.kit_logs import PART_NAME, LogPart
from appliance.protocol.objects import heads_object, logs_object
from appliance.records.audit import Entry, Heads, check_chain, holds
from appliance.records.files import lines
from appliance.records.signing import open_fact
from appliance.stores.store import ServiceStore

_LARGEST = 8 << 20
"""Bytes: no part is longer."""


@dataclass(frozen=True)
class KitLogs:
    """The logs of one kit."""

    entries: dict[str, list[Entry]]
    """Of each process, in order."""
    removed: dict[str, str]
    """The signed note of each film that the kit removed."""
    problems: tuple[str, ...]
    """Sentences: what is missing, altered or false."""


def kit_logs(store: ServiceStore, identities: Sequence[Identity], kit: KitCard) -> KitLogs:
    """Put a kit's logs together. Raises SendInterrupted, SendRefused; NoMatch where not one part
    can be opened."""
    found: dict[str, dict[int, str]] = {}
    removed: dict[str, str] = {}
    problems: list[str] = []
    parts, opened = 0, 0
    for name, part in _parts(store, identities, kit):
        parts += 1
        if isinstance(part, str):
            problems.append(f"{name} {part}")
            continue
        opened += 1
        removed |= part.removed
        for process, new in part.logs.items():
            known = found.setdefault(process, {})
            for number, line in enumerate(lines(new.text), start=new.first):
                known[number] = line
    if parts and not opened:
        raise NoMatch("The service's keys open no part of this kit's logs.")
    heads = _newest_heads(store, kit)
    entries: dict[str, list[Entry]] = {}
    for process in sorted({*found, *(heads.logs if heads else ())}):
        entries[process], wrong = _joined(process, found.get(process, {}), heads)
        problems += wrong
    return KitLogs(entries, removed, tuple(problems))


def _parts(
    store: ServiceStore, identities: Sequence[Identity], kit: KitCard
) -> Iterator[tuple[str, LogPart | str]]:
    """Each part, or what is wrong with it."""
    place = logs_object(kit.id, "")
    for entry in store.list(place):
        name = entry.name.removeprefix(place)
        if not PART_NAME.fullmatch(name):
            yield entry.name, "is no part of a log."
            continue
        file = store.open(entry.name)
        if file is None:
            continue
        with file:
            sealed = file.read(_LARGEST)
        try:
            note = unseal(sealed, identities)
            part, _ = open_fact(note, [kit.verifying_key()], LogPart)
        except NoMatch:
            yield entry.name, "is not opened by the service's keys."
        except (BadInput, Incomplete):
            yield entry.name, "is damaged, or this kit did not sign it."
        else:
            fits = (part.kit, f"{part.number:06}.age") == (kit.id, name)
            yield entry.name, part if fits else "is another part than its name says."


def _newest_heads(store: ServiceStore, kit: KitCard) -> Heads | None:
    place = heads_object(kit.id, "")
    for name in sorted((entry.name for entry in store.list(place)), reverse=True):
        file = store.open(name)
        if file is None:
            continue
        # Whoever has a kit's way in may have put anything there.
        with file, suppress(BadInput):
            return open_fact(file.read(_LARGEST), [kit.verifying_key()], Heads)[0]
    return None


def _joined(
    process: str, found: dict[int, str], heads: Heads | None
) -> tuple[list[Entry], list[str]]:
    """A process's log as far as it goes on without a hole, and what is wrong with it."""
    number = 0
    while number + 1 in found:
        number += 1
    text = "".join(f"{found[n]}\n" for n in range(1, number + 1)).encode()
    problems = []
    if later := [n for n in found if n > number]:
        problems.append(f"Lines {number + 1} to {min(later) - 1} of {process}'s log are missing.")
    head = heads.logs.get(process) if heads else None
    if head is not None and head.number > number:
        problems.append(f"{process}'s log goes on to {head.number}, and {number} lines have come.")
    elif head is not None and not holds(text, head):
        problems.append(f"{process}'s log is not the one that the kit signed for.")
    if heads and process in heads.broken:
        problems.append(f"The kit saw that {process}'s log was rewritten.")
    try:
        return check_chain(text), problems
    except BadInput as error:
        return [], [*problems, f"{process}: {error.sentence}"]
