"""Taking films off the card: first a signed note that says which and why, then the film.

An order for everything of a case closes it too, in the recorder's own books: whoever takes the
order away again does not open the case.

The note, `kit/removed/<recording>`, stays. A removal that a pulled plug cut short is finished at
the next start, and a pulled plug undoes none. Anything in doubt - a signature, a hold, a
manifest that cannot be read - is a refusal to remove.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Literal

import msgspec

from appliance.errors import BadFile, BadInput
from appliance.film.manifest import MANIFEST, FilmRemoved, Manifest, read_manifest
from appliance.protocol.orders import FilmWithdrawal, ServiceOrder, Tombstone, Withdrawal
from appliance.records.audit import Log
from appliance.records.files import (
    ID,
    CaseFolder,
    Home,
    checked_id,
    from_json,
    is_there,
    names_in,
    paths_in,
    read_plain,
    read_text,
    save,
    some_of,
    sync_directory,
)
from appliance.records.signing import Verifier, open_fact, sign_fact
from firmware.books import KitBooks
from firmware.emptying import Emptying

_errors = logging.getLogger(__name__)

Order = Withdrawal | FilmWithdrawal | ServiceOrder | Tombstone
_ORDER: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
_LARGEST_ORDER = 64 * 1024
_MOST = 10_000
"""Places that are looked at each second for an order: those of thousands of cases. Whoever puts
more there could as well take the orders away."""


class Removals:
    """Takes away films that are closed. One thread only."""

    def __init__(
        self,
        home: Home,
        books: KitBooks,
        log: Log,
        now: Callable[[], datetime | None],
        emptying: bool,
    ) -> None:
        """`emptying`: films may leave the card that the service was just seen to hold."""
        self._home = home
        self._books = books
        self._log = log
        self._now = now
        self._cases: dict[str, str] = {}
        """The case of each recording, which never changes."""
        self._failed: set[str] = set()
        """Recordings that the card refused to remove."""
        self._emptying = Emptying(home, books, log, now, emptying)
        home.prepare(home.removed)

    def finish(self) -> None:
        """Finish what a power cut left half done. Raises NotPossible, OSError."""
        for note in paths_in(self._home.removed, ID):
            if not self._home.recording(note.name).exists():
                continue
            try:
                removed, _ = open_fact(read_plain(note), [self._books.signer.verifier], FilmRemoved)
            except BadInput as error:
                _errors.error("%s: %s", note.name, error.sentence)
                continue
            if removed.recording == note.name:
                self._take_away(removed)
        self._emptying.finish()

    def may_remove(self, recording: str) -> bool:
        """True if this film is here, whole, and nothing says that it must stay."""
        manifest = self._manifest(recording)
        if manifest is None or manifest.ended is None:
            return False
        try:
            return not is_there(self._home.case(manifest.started.case).hold)
        except BadFile:
            return False

    def by_button(self, recording: str) -> None:
        """Somebody who was there held the button. Raises NotPossible, OSError."""
        if self.may_remove(recording):
            self._remove(recording, "button", "")

    def ordered(self, note: str) -> bool:
        """Carry out a signed order: False if it is not to be believed, or removing must wait.

        A practitioner of a case, as far as this kit knows, may withdraw it or a film of it; the
        service may ask for either, or say with a tombstone that a case's keys are gone. Any other
        practitioner's order ends filming and removes nothing: one page that was taken over, or one
        angry leaver, would be enough to remove every family's films. So does the order of whoever
        has ended several cases within a day, or taken films of several back: then the service's
        answer, or its order, removes them.
        Raises NotPossible, OSError.
        """
        emptied = self._emptying.ordered(note)
        if emptied is not None:
            return emptied
        try:
            believed = self._believed(note)
        except BadInput:
            return False
        if believed is None:
            return False
        order, signed_by = believed
        if not _film(order) and self._books.will_close(order.case):
            self._log.write("case-closed", case=order.case)
            self._books.close(order.case)
        if isinstance(order, Tombstone) and (order.held or not order.removed):
            return False
        meant = self._meant(order)
        if not meant and _film(order) in names_in(self._home.recordings):
            # It is here, and not of this case.
            return False
        ordered_here = isinstance(order, Withdrawal | FilmWithdrawal)
        if meant and ordered_here and not self._books.is_of(order.case, signed_by):
            return False
        if not all(self.may_remove(recording) for recording in meant):
            return False
        if meant and ordered_here:
            films = bool(_film(order))
            if not self._books.may_end(order.case, signed_by, self._now(), films):
                return False
        for recording in meant:
            self._remove(recording, "order", hashlib.sha256(note.encode()).hexdigest())
        return True

    def look(self) -> None:
        """Carry out what lies in the cases and in the inbox. Raises NotPossible, OSError."""
        for note in self._notes():
            # Skip what would change nothing here.
            with suppress(BadFile):
                order = from_json(note.partition("\n")[0], _ORDER)
                closes = not _film(order) and self._books.will_close(order.case)
                if closes or self._meant(order):
                    self.ordered(note)

    def _notes(self) -> Iterator[str]:
        for path in islice(self._orders(), _MOST):
            with suppress(OSError, BadFile):
                yield read_text(path, _LARGEST_ORDER)

    def _orders(self) -> Iterator[Path]:
        yield from some_of(self._home.inbox, _MOST)
        for case in map(CaseFolder, some_of(self._home.cases, _MOST)):
            yield from (case.withdrawal, case.withdrawn_there)
            # What has another name is still being written: a cut may yet take it away.
            orders = some_of(case.film_orders, _MOST)
            yield from (path for path in orders if ID.fullmatch(path.name))

    def _believed(self, note: str) -> tuple[Order, Verifier] | None:
        """The order in a note and who signed it, if they may give such orders to this kit."""
        enrolled = self._books.enrolled
        if enrolled is None:
            return None
        service = enrolled.chain
        practitioners = self._books.verifiers
        order, signed_by = open_fact(note, [*service.signing, *practitioners], _ORDER)
        checked_id(order.case)
        match order:
            case Withdrawal() | FilmWithdrawal():
                believed = signed_by in practitioners
                if isinstance(order, FilmWithdrawal):
                    checked_id(order.film)  # Without one it would be everything.
            case ServiceOrder():
                believed = service.said(order, signed_by) and order.kit == self._books.kit
            case Tombstone():
                believed = service.said(order, signed_by) and order.whole
        return (order, signed_by) if believed else None

    def _meant(self, order: Order) -> list[str]:
        """The recordings here that an order speaks of."""
        film = _film(order)
        return [
            name
            for name in names_in(self._home.recordings)
            if film in ("", name) and name not in self._failed and self._case(name) == order.case
        ]

    def _case(self, recording: str) -> str | None:
        """Whose film it is; None where that cannot be told."""
        if recording not in self._cases:
            manifest = self._manifest(recording)
            if manifest is None:
                return None
            self._cases[recording] = manifest.started.case
        return self._cases[recording]

    def _manifest(self, recording: str) -> Manifest | None:
        try:
            return read_manifest(self._home.recording(recording))
        except BadFile:
            return None

    def _remove(self, recording: str, why: Literal["button", "order"], order: str) -> None:
        directory = self._home.recording(recording)
        started = read_manifest(directory).started
        removed = FilmRemoved(
            recording=recording,
            case=started.case,
            kit=started.kit,
            permit=started.permit,
            manifest=hashlib.sha256(read_plain(directory / MANIFEST)).hexdigest(),
            why=why,
            order=order,
            at=self._now(),
        )
        note = sign_fact(self._books.signer, removed)
        try:
            save(self._home.removed / recording, note.encode())
            self._take_away(removed)
        except OSError:
            # A card that refuses is told once; what the note promises is done at the next start.
            self._failed.add(recording)
            raise

    def _take_away(self, removed: FilmRemoved) -> None:
        self._log.write(
            "film-removed", recording=removed.recording, case=removed.case, why=removed.why
        )
        shutil.rmtree(self._home.recording(removed.recording))
        sync_directory(self._home.recordings)


def _film(order: Order) -> str:
    """The one film that an order names, '' for all of its case."""
    return order.film if isinstance(order, FilmWithdrawal | ServiceOrder) else ""
