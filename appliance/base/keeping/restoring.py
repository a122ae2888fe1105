"""Putting back what a store has lost, from a copy of it: yesterday's backup.

A copy is believed no more than the store. Nothing comes back that the ledger, or an order here or
in the copy, says was taken back or removed; nothing is ever put over what is there. A film's files
are those that its signed manifest lists, byte for byte; orders, holds, lists of people and heads
are those that somebody of this service, or an enrolled kit, signed. Of keys, documents, clips and
logs no public list tells: they are seen to be sealed files, as when a kit sends them.

What base signs itself comes from the ledger alone (`desk`). Ends of holds, the days until which
cases are kept, and what was shared come from no copy: kits that have them say them again.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from itertools import groupby
from tempfile import SpooledTemporaryFile
from typing import IO, Literal

from appliance.age.sealing import VERSION_LINE
from appliance.age.unsealing import Identity, unseal
from appliance.base.cases import secret_keys
from appliance.base.desk import Desk
from appliance.base.keeping.auditing import LARGEST_MANIFEST, film_of, is_of
from appliance.base.ledger import Kind, Ledger
from appliance.base.voices import Asked, Voices
from appliance.errors import (
    BadFile,
    BadInput,
    Incomplete,
    NoMatch,
    NotAFile,
    SendFailed,
    SendInterrupted,
)
from appliance.film.manifest import Manifest, parse_manifest
from appliance.protocol.cards import CardChain, KitCard
from appliance.protocol.hold_reasons import WHY_OBJECT
from appliance.protocol.names import numbered
from appliance.protocol.objects import kit_object, order_object
from appliance.protocol.orders import (
    FilmWithdrawal,
    ServiceOrder,
    ShareEnd,
    Tombstone,
    hold_name,
    read_hold,
    read_order,
)
from appliance.protocol.teams import TEAM_NAME, read_team
from appliance.records.audit import Heads
from appliance.records.files import ID, from_json
from appliance.records.signing import Verifier, fact_in, open_fact
from appliance.stores.store import (
    SMALL,
    Entry,
    Put,
    ServiceStore,
    Store,
    measure,
    pieces,
    read_small,
)

Why = Literal["taken-back", "digest", "not-believed", "sealed-anew", "unreadable"]
SENTENCES: dict[Why, str] = {
    "taken-back": "was taken back or removed, or somebody has asked for that.",
    "digest": "is not what its film's signed manifest says.",
    "not-believed": "belongs to nothing, or was signed by nobody who may.",
    "sealed-anew": "was sealed to keys that a later card has left out, and sealed anew since.",
    "unreadable": "could not be read from the copy.",
}

_SEALED = re.compile(r"((documents|clips)/)?[a-z0-9][a-z0-9._-]*\.age")
_KIT = re.compile(rf"kits/(?P<kit>{ID.pattern})/(?P<file>card\.json|heads/[0-9]{{6}}|logs/.+\.age)")
_BASES = re.compile(rf"kits/{ID.pattern}/(orders/.+|films-read|not-to-be-deleted)")
_HOLD = re.compile(rf"holds/{ID.pattern}/[0-9a-f]{{16}}")
_BY_OTHERS = re.compile(rf"(cases/{ID.pattern}/(shares/.+|keep-.+|derived/.+))|(holds/.+-lifted)")
"""What comes from no copy, and is not told one by one."""
_IN_MEMORY = 8 << 20


@dataclass(frozen=True)
class LeftOut:
    """What the copy has and the store lacks, and why it stays so. A folder stands for all of it."""

    object: str
    why: Why

    @property
    def sentence(self) -> str:
        return f"{self.object} {SENTENCES[self.why]}"


@dataclass(frozen=True)
class Gone:
    """What of a case is not to come back."""

    whole: bool
    ids: frozenset[str] = frozenset()
    """Films, and clips that were cut from them."""
    names: frozenset[str] = frozenset()

    def has(self, name: str) -> bool:
        return self.whole or name in self.names or any(one in name for one in self.ids)


class _Other(Exception):
    """A file is not what it should be."""

    def __init__(self, why: Why) -> None:
        self.why = why


@dataclass
class Restorer:
    """One copy of a store. A case at a time, so that base works between: orders come first."""

    copy: ServiceStore
    service: CardChain
    identities: Sequence[Identity]
    """What opens the service's keys of cases; none for a machine that has nothing that opens."""
    people: Sequence[Verifier]
    kits: Sequence[KitCard]
    rehearse: bool = False
    progress: Callable[[str], object] = lambda name: None
    back: int = 0
    size: int = 0
    """Bytes that came back."""
    films: set[str] = field(default_factory=set)
    """Folders of films of which something came back."""
    left_out: list[LeftOut] = field(default_factory=list)
    stopped: SendFailed | None = None
    """Why the copy could not be listed to its end."""
    _asked: list[Asked] | None = None

    def cases(self) -> Iterator[tuple[str, list[Entry]]]:
        """What the copy has of each case, by its listing."""
        for case, entries in groupby(self._listed("cases/"), lambda one: one.name.split("/")[1]):
            if ID.fullmatch(case):
                yield case, list(entries)

    def _listed(self, room: str) -> Iterator[Entry]:
        try:
            yield from self.copy.list(room)
        except SendFailed as error:
            self.stopped = error

    def rest(self, store: ServiceStore, desk: Desk, ledger: Ledger) -> None:
        """What belongs to no case: what kits and families said. Raises SendInterrupted,
        SendRefused."""
        for room in ("kits/", "orders/", "holds/"):
            desk.holds.hear()
            have = {entry.name for entry in store.list(room)}
            for entry in self._listed(room):
                if entry.name in have or _is_bases(entry.name):
                    continue
                why = WHY_OBJECT.fullmatch(entry.name)
                # The reason for a hold goes with its case.
                if why and _is_closed(desk, ledger, why["case"]):
                    self.left_out.append(LeftOut(entry.name, "taken-back"))
                else:
                    self._one(store, entry, partial(self._said, entry.name, desk.holds.voices))

    def case(
        self, store: ServiceStore, desk: Desk, ledger: Ledger, case: str, entries: list[Entry]
    ) -> None:
        """What the store lacks of one case. Raises SendInterrupted, SendRefused."""
        have = {entry.name for entry in store.list(f"cases/{case}/")}
        lacks = [one for one in entries if one.name not in have]
        lacks = [one for one in lacks if not _BY_OTHERS.fullmatch(one.name)]
        if not lacks:
            return
        gone = self._gone(store, desk, ledger, case)
        if gone.whole:
            self.left_out.append(LeftOut(f"cases/{case}/", "taken-back"))
            return
        anew = self._sealed_anew(store, have, entries)
        for film, files in groupby(lacks, film_of):
            if film and gone.has(film):
                self.left_out.append(LeftOut(film, "taken-back"))
            elif film:
                every = {one.name: one for one in files}
                went = every.keys() & gone.names
                self.left_out += [LeftOut(name, "taken-back") for name in sorted(went)]
                if kept := {name: one for name, one in every.items() if name not in went}:
                    self._film(store, film, kept, have)
            else:
                for one in files:
                    self._file_of(store, case, one, gone, anew)

    def _sealed_anew(self, store: ServiceStore, have: set[str], entries: Sequence[Entry]) -> int:
        """The highest number under which the service has sealed this case's key by its newest card,
        as far as can be seen here: rubbish of that name must keep no key away."""
        highest = 0
        for name in have | {entry.name for entry in entries}:
            key = numbered(name.split("/", 2)[2])
            if key is None or (key.stem, key.home) != ("identity", self.service.slug):
                continue
            try:
                sealed = read_small(store if name in have else self.copy, name) or b""
                if not self.identities or secret_keys(unseal(sealed, self.identities))[0]:
                    highest = max(highest, key.number)
            except (BadInput, Incomplete, NoMatch, NotAFile):
                continue
            except SendFailed:
                if name in have:
                    raise
        return highest

    @property
    def damaged(self) -> list[LeftOut]:
        """What was left out although nobody took it back."""
        return [one for one in self.left_out if one.why not in ("taken-back", "sealed-anew")]

    @property
    def still_lost(self) -> list[str]:
        """What films lack because it is damaged in the copy; a folder stands for all of it."""
        return [
            one.object
            for one in self.damaged
            if one.why != "not-believed" or one.object.endswith("/")
        ]

    # --- What is not to come back -------------------------------------------------------------

    def _gone(self, store: ServiceStore, desk: Desk, ledger: Ledger, case: str) -> Gone:
        desk.holds.hear()
        if _is_closed(desk, ledger, case):
            return Gone(whole=True)
        held, on = ledger.closing(case) is not None, desk.holds.on
        ids, names = _removed(ledger, case)
        for film, clips in self._asked_for(store, desk.holds.voices, ledger, case):
            if held or on(case, film):
                continue  # Nothing of it is removed meanwhile.
            if not film:
                return Gone(whole=True)
            ids |= {film, *clips}
        return Gone(False, frozenset(ids), frozenset(names))

    def _asked_for(
        self, store: ServiceStore, voices: Voices, ledger: Ledger, case: str
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The film, '' for the whole case, and the clips of each order that is not done: one that
        counts, one that waits for the service's yes, and one that nobody has seen yet."""
        kinds: tuple[Kind, ...] = ("accepted", "waits")
        for kind in kinds:
            for name, line in ledger.of(kind).items():
                if line.ids.get("case") == case and name not in ledger.of("answered"):
                    yield line.ids["film"], ()
        for line in ledger.of("ordered").values():
            order = read_order(line.ids["note"].encode())
            if isinstance(order, ServiceOrder) and order.case == case:
                yield order.film, ()
        for one in self._open_orders(store, voices, ledger):
            if one.case == case and isinstance(one, FilmWithdrawal):
                yield one.film, one.clips
            elif one.case == case and not isinstance(one, ShareEnd):
                yield "", ()

    def _open_orders(self, store: ServiceStore, voices: Voices, ledger: Ledger) -> list[Asked]:
        """What was asked for and is not done, here or in the copy: whoever asked for it."""
        answered = ledger.of("answered")
        if self._asked is None:
            self._asked = _orders_at(self.copy, voices, ())
        here = _orders_at(store, voices, answered.keys())
        return [*here, *(one for one in self._asked if one.id not in answered)]

    # --- What comes back ----------------------------------------------------------------------

    def _film(
        self, store: ServiceStore, film: str, lacks: dict[str, Entry], have: set[str]
    ) -> None:
        name = f"{film}manifest"
        try:
            manifest, digest = self._manifest(store if name in have else self.copy, film)
        except BadInput:
            self.left_out.append(LeftOut(film, "not-believed"))
            return
        except SendFailed:
            if name in have:
                raise
            self.left_out.append(LeftOut(film, "unreadable"))
            return
        before = self.back
        # First, so that a cut leaves a film of which something is missing, and none unknown.
        if name in lacks:
            self._one(store, lacks.pop(name), sha256=digest)
        for file, size, sha256 in manifest.files:
            one = lacks.pop(film + file, None)
            if one is not None:
                self._one(store, Entry(one.name, size), sha256=sha256)
        self.left_out += [LeftOut(orphan, "not-believed") for orphan in lacks]
        if self.back > before:
            self.films.add(film)

    def _manifest(self, store: Store, film: str) -> tuple[Manifest, str]:
        """The manifest of a film that belongs there, and its digest. Raises BadInput,
        SendInterrupted, SendRefused."""
        file = store.open(f"{film}manifest")
        if file is None:
            raise BadFile("There is no manifest.")
        with file:
            data = file.read(LARGEST_MANIFEST)
        signers = [*self.people, *(kit.verifying_key() for kit in self.kits)]
        manifest = parse_manifest(data.decode(errors="replace"), signers)
        if manifest.signed_by is None or not is_of(manifest.started, film):
            raise BadFile("This manifest is another film's, or nobody of this service signed it.")
        return manifest, hashlib.sha256(data).hexdigest()

    def _file_of(self, store: ServiceStore, case: str, one: Entry, gone: Gone, anew: int) -> None:
        file = one.name.removeprefix(f"cases/{case}/")
        key = numbered(file)
        if gone.has(one.name):
            self.left_out.append(LeftOut(one.name, "taken-back"))
        elif (
            key and key.stem == "identity" and key.home != self.service.slug and key.number <= anew
        ):
            self.left_out.append(LeftOut(one.name, "sealed-anew"))
        elif TEAM_NAME.fullmatch(file):
            self._one(store, one, lambda data: read_team(file, data, case, self.people))
        elif _SEALED.fullmatch(file):
            self._one(store, one, _is_sealed)
        else:
            self.left_out.append(LeftOut(one.name, "not-believed"))

    def _said(self, name: str, voices: Voices, data: bytes) -> None:
        """Raises BadInput for what nobody of this service, and none of its kits, has said."""
        room, _, inside = name.partition("/")
        if room == "orders":
            voices.order(inside, data)
        elif WHY_OBJECT.fullmatch(name):
            _is_sealed(data)
        elif _HOLD.fullmatch(name):
            text, _by = voices.opened(data)
            if inside != f"{read_hold(text).case}/{hold_name(data)}":
                raise BadFile("This hold belongs elsewhere.")
        else:
            found = _KIT.fullmatch(name)
            card = next((one for one in self.kits if found and one.id == found["kit"]), None)
            if found is None or card is None:
                raise BadFile("This is no kit's.")
            if name == kit_object(card.id):
                if from_json(data, KitCard) != card:
                    raise BadFile("This is another kit's card.")
            elif found["file"].startswith("heads/"):
                open_fact(data, [card.verifying_key()], Heads)
            else:
                _is_sealed(data)

    def _one(
        self,
        store: ServiceStore,
        entry: Entry,
        check: Callable[[bytes], object] = lambda data: None,
        sha256: str = "",
    ) -> None:
        """Put one file back, if it is what it should be: the bytes that were looked at are those
        that are put. `check` is given how it begins. Raises SendInterrupted, SendRefused."""
        with SpooledTemporaryFile(_IN_MEMORY) as kept:
            try:
                digest = self._fetch(entry, kept, sha256)
                kept.seek(0)
                check(kept.read(SMALL))
            except _Other as other:
                self.left_out.append(LeftOut(entry.name, other.why))
                return
            except BadInput:
                self.left_out.append(LeftOut(entry.name, "not-believed"))
                return
            self.progress(entry.name)
            kept.seek(0)
            if not self.rehearse and not _put(store, entry.name, kept, digest):
                return  # It came meanwhile.
        self.back += 1
        self.size += entry.size

    def _fetch(self, entry: Entry, to: IO[bytes], sha256: str) -> str:
        """Read a file of the copy to its end, and no further than it should go."""
        found, size = hashlib.sha256(), 0
        try:
            file = self.copy.open(entry.name)
            if file is None:
                raise _Other("unreadable")
            with file:
                for piece in pieces(file):
                    size += len(piece)
                    if size > entry.size:
                        break
                    found.update(piece)
                    to.write(piece)
        except SendFailed as error:
            raise _Other("unreadable") from error
        if size != entry.size or (sha256 and found.hexdigest() != sha256):
            raise _Other("digest" if sha256 else "unreadable")
        return found.hexdigest()


def _put(store: ServiceStore, name: str, kept: IO[bytes], sha256: str) -> bool:
    """Put it where nothing lies, and see that it is there; False where something was."""
    put = store.create(name, kept)
    if put is Put.CREATED:
        file = store.open(name)
        with file or nullcontext(BytesIO()) as there:
            found = measure(there).sha256
        if found != sha256:
            store.remove(name)
            raise SendInterrupted(f"The store does not give back {name}.", "Try again.")
    return put is not Put.ALREADY_THERE


def _orders_at(store: Store, voices: Voices, answered: Collection[str]) -> list[Asked]:
    """Every order that somebody of this service signed, but for those."""
    found: list[Asked] = []
    for entry in store.list("orders/"):
        name = entry.name.removeprefix("orders/")
        if ID.fullmatch(name) and name not in answered:
            with suppress(BadInput, NotAFile):
                found.append(voices.order(name, read_small(store, order_object(name)))[0])
    return found


def _is_closed(desk: Desk, ledger: Ledger, case: str) -> bool:
    """True if a case was withdrawn or purged, and no hold keeps anything of it."""
    closing = ledger.closing(case)
    held = closing is not None and (
        closing.ids["held"] == "order" or (closing.ids["held"] and desk.holds.on(case))
    )
    return case in ledger.of("emptied") or (closing is not None and not held)


def _removed(ledger: Ledger, case: str) -> tuple[set[str], set[str]]:
    """Films and clips of an open case that went, and names of all that did: before a hold came, or
    in a run that was cut."""
    ids, names = set[str](), set[str]()
    for line in ledger.of("answered").values():
        if line.ids["case"] == case and not line.ids["whole"]:
            names.update(fact_in(line.ids["answer"], Tombstone).removed)
            ids |= _ids_in(line.ids["asked"])
    for name, begun in ledger.of("begun").items():
        accepted = ledger.of("accepted").get(name)
        if accepted is not None and accepted.ids.get("case") == case and accepted.ids["film"]:
            names.update(begun.ids["names"].split("\n"))
    return ids, names


def _ids_in(asked: str) -> set[str]:
    """The film and clips that an order names which was carried out."""
    with suppress(BadInput):
        order = fact_in(asked, FilmWithdrawal)
        return {order.film, *order.clips}
    return set()


def _is_bases(name: str) -> bool:
    """True for what base says itself, and for ends of holds: neither comes from a copy. That a film
    was read whole is no word of what the store holds now."""
    return bool(_BASES.fullmatch(name) or _BY_OTHERS.fullmatch(name))


def _is_sealed(data: bytes) -> None:
    if not data.startswith(VERSION_LINE):
        raise BadFile("This is no sealed file.")


def kits_of(store: ServiceStore, lost: Sequence[str]) -> list[str]:
    """The kits that made the films which these objects are of, as far as their manifests are there
    and say so. Raises SendInterrupted, SendRefused."""
    kits: set[str] = set()
    for film in sorted({film_of(Entry(name, 0)) for name in lost} - {""}):
        with suppress(BadInput, NotAFile):
            data = read_small(store, f"{film}manifest", LARGEST_MANIFEST) or b""
            kits.add(parse_manifest(data.decode(errors="replace")).started.kit)
    return sorted(kits)
