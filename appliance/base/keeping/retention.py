"""How long the store keeps what was sent of a family, and what is removed then.

Closed is a case whose keys are gone: nobody opens its films any more, and so many days later they
are purged. A case that is open is closed by base only where every kit that filmed it or wrote of it
has said the day on which its films may go (`protocol.retention`), that day is so many days past,
and each of those kits was heard of after that, and not long ago: none has said otherwise. Without
that, or under a hold, base asks and
removes nothing. Each step is written in the ledger first, so that a restored store is mended.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal

from appliance.base.ledger import Ledger
from appliance.base.orders import put_note, read_or_none
from appliance.base.voices import Voices, Waits
from appliance.errors import BadInput
from appliance.film.manifest import parse_manifest
from appliance.protocol.cards import CardChain
from appliance.protocol.names import numbered
from appliance.protocol.objects import case_object
from appliance.protocol.retention import KEEP_NAME, Keep, Purged, keep_name, purged_object
from appliance.records.files import ID, from_json
from appliance.records.signing import Signer, Verifier, sign_fact
from appliance.stores.store import Entry, ServiceStore

State = Literal["open", "kept", "due", "overdue", "silent", "held", "closed", "closed-due"]
"""`due`: the day is past, and its kit has still time to remove it. `overdue`: base may. `silent`:
a kit of it was not heard of since, or for long. `closed-due`: closed, and so many days are past."""
REMOVED: tuple[State, ...] = ("overdue", "closed-due")
_FILM = re.compile(rf"cases/{ID.pattern}/(recordings|imports)/[^/]+/")
_AHEAD = timedelta(days=1)
"""Nobody who signs for a later time was heard of: a kit's clock and base's are no further apart."""


@dataclass(frozen=True)
class CaseKept:
    """What the store keeps of a case."""

    case: str
    state: State
    until: datetime | None
    """The day on which its films may go, or were closed; None where nobody has said one."""
    objects: int
    bytes: int
    films: int


@dataclass(frozen=True)
class Retention:
    """The service at its store. `heard` is when each kit was heard of last, by its own clock,
    `signers` are kits and people whose manifests count."""

    store: ServiceStore
    voices: Voices
    ledger: Ledger
    held: Collection[str]
    """Cases under a hold, or under one that waits for the service's word."""
    heard: Mapping[str, datetime | None]
    signers: Sequence[Verifier]
    days: int
    silent: timedelta
    """A kit that nobody has heard of for so long has said nothing."""
    now: datetime

    def cases(self, only: str = "") -> Iterator[CaseKept]:
        """Every case of which something lies here, or this one. Raises SendInterrupted,
        SendRefused."""
        there = self.store.list(case_object(only, "") if only else "cases/")
        for case, entries in groupby(there, lambda entry: entry.name.split("/")[1]):
            if ID.fullmatch(case):
                yield self._case(case, list(entries))

    def _case(self, case: str, entries: Sequence[Entry]) -> CaseKept:
        names = [entry.name for entry in entries]
        films = sorted({match[0] for name in names if (match := _FILM.match(name))})
        state, until = self._state(case, names, films)
        total = sum(entry.size for entry in entries)
        return CaseKept(case, state, until, len(entries), total, len(films))

    def _state(
        self, case: str, names: Sequence[str], films: Sequence[str]
    ) -> tuple[State, datetime | None]:
        late = timedelta(days=self.days)
        closing = self.ledger.closing(case)
        if case in self.held or (closing is not None and closing.ids["held"]):
            return "held", None
        if closing is not None:
            return ("closed-due" if self.now >= closing.at + late else "closed"), closing.at
        days = self._days(case, names)
        said = [keep for keep in days.values() if keep is not None and keep.until is not None]
        if not days or len(said) < len(days) or not _homes(names) <= set(days):
            return "open", None
        if not self._covers(days, films):
            return "open", None
        until = max(keep.until for keep in said if keep.until is not None)
        if self.now < until:
            return "kept", until
        if not all(self._heard_since(kit, until) for kit in days):
            return "silent", until
        if self.now < until + late:
            return "due", until
        # Base waits so long for the kits' own word: they have all had the time to say otherwise.
        lately = max(until + late, self.now - self.silent)
        heard = all(self._heard_since(kit, lately) for kit in days)
        return ("overdue" if heard else "silent"), until

    def _heard_since(self, kit: str, day: datetime) -> bool:
        heard = self.heard.get(kit)
        return heard is not None and day < heard <= self.now + _AHEAD

    def _covers(self, days: Mapping[str, Keep | None], films: Sequence[str]) -> bool:
        """True if the kit of each film has said the day since it was made: a later word, that the
        work goes on, may have been lost here. What nobody can read keeps all, and so does a film
        whose manifest has not come yet."""
        for film in films:
            try:
                text = (self._read(f"{film}manifest") or b"").decode(errors="replace")
                manifest = parse_manifest(text, self.signers)
            except BadInput:
                return False
            keep = days.get(manifest.started.kit)
            if manifest.signed_by is None or keep is None or manifest.started.started > keep.at:
                return False
        return True

    def _days(self, case: str, names: Sequence[str]) -> dict[str, Keep | None]:
        """What each kit said last of the day. Only who works with the family may say it; where
        the newest word cannot be believed, the kit has said nothing."""
        found: dict[str, Keep | None] = {}
        prefix = case_object(case, "")
        said: dict[str, list[str]] = defaultdict(list)
        for name in names:
            if match := KEEP_NAME.fullmatch(name.removeprefix(prefix)):
                said[match["kit"]].append(name)
        for kit, all_ in said.items():
            found[kit] = None
            with suppress(BadInput, Waits):
                text, by = self.voices.opened(read_or_none(self.store, max(all_)) or b"")
                keep = from_json(text, Keep)
                self.voices.check_was_here(by, keep.at)
                fits = prefix + keep_name(keep.number, kit) == max(all_)
                if fits and (keep.case, keep.kit) == (case, kit) and self.voices.works_in(case, by):
                    found[kit] = keep
        return found

    def _read(self, name: str) -> bytes | None:
        file = self.store.open(name)
        if file is None:
            return None
        with file:
            return file.read(64 << 20)


def _homes(names: Sequence[str]) -> set[str]:
    """The kits that wrote what lies here of a case, as the names of its files say."""
    files = (numbered(name.rpartition("/")[2]) for name in names)
    # A key carries a home where it lies beside another's; one that the service sealed, the
    # service's own.
    return {one.home for one in files if one and (one.stem != "identity" or one.digest)} - {""}


def purge(
    store: ServiceStore, signer: Signer, ledger: Ledger, kept: CaseKept, now: datetime
) -> Purged:
    """Remove everything of a closed case, and sign for it. Raises SendInterrupted, SendRefused."""
    gone = Purged(
        case=kept.case,
        at=now,
        objects=kept.objects,
        bytes=kept.bytes,
        why="kept-long-enough" if kept.state == "overdue" else "withdrawn",
    )
    note = sign_fact(signer, gone)
    ledger.write("emptied", kept.case, note=note)
    _again(store, kept.case, note)
    return gone


def learn(store: ServiceStore, service: CardChain) -> Iterator[tuple[str, str]]:
    """The cases of which all is gone, as the store shows with this service's signature, each with
    the note. Raises SendInterrupted, SendRefused."""
    for entry in store.list("purged/"):
        note = (read_or_none(store, entry.name) or b"").decode(errors="replace")
        with suppress(BadInput):
            case = service.word(note, Purged).case
            if entry.name == purged_object(case) and ID.fullmatch(case):
                yield case, note


def purge_again(store: ServiceStore, ledger: Ledger) -> tuple[str, ...]:
    """Remove once more what a restored store has brought back; returns the cases. Raises
    SendInterrupted, SendRefused."""
    back = []
    for case, line in ledger.of("emptied").items():
        if any(True for _ in store.list(case_object(case, ""))):
            back.append(case)
        _again(store, case, line.ids["note"])
    return tuple(back)


def _again(store: ServiceStore, case: str, note: str) -> None:
    store.purge(case_object(case, "").rstrip("/"))
    if read_or_none(store, purged_object(case)) != note.encode():
        put_note(store, purged_object(case), note.encode())
