"""Taking the sealed files of a film off the card, where root's settings allow it at all: first a
signed note, then the files. The film's manifest stays.

The note, `kit/emptied/<recording>`, stays as well. What a pulled plug cut short is finished at the
next start. Anything in doubt keeps the film.
"""

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from appliance.errors import BadFile, BadInput
from appliance.film.manifest import MANIFEST, parse_manifest
from appliance.protocol.case_record import CaseRecord, held, is_film_withdrawn, is_withdrawn
from appliance.protocol.emptying import (
    CLOCKS_APART,
    FILMS_READ,
    ORDER_LASTS,
    PROOF_LASTS,
    EmptyingRefusal,
    FilmEmptied,
    FilmEmptying,
    FilmsRead,
    is_emptied,
)
from appliance.protocol.objects import film_object
from appliance.protocol.orders import LARGEST
from appliance.protocol.receipts import receipt_of
from appliance.records.audit import Log
from appliance.records.files import (
    ID,
    Home,
    checked_id,
    from_json,
    load_fact,
    names_in,
    paths_in,
    read_plain,
    read_text,
    save,
    sync_directory,
)
from appliance.records.signing import Verifier, open_fact, sign_fact
from firmware.books import KitBooks

_errors = logging.getLogger(__name__)


class Emptying:
    """Takes the sealed files of single films away, and nothing else. One thread only."""

    def __init__(
        self,
        home: Home,
        books: KitBooks,
        log: Log,
        now: Callable[[], datetime | None],
        allowed: bool,
    ) -> None:
        self._home = home
        self._books = books
        self._log = log
        self._now = now
        self._allowed = allowed
        self._told: set[EmptyingRefusal] = set()
        home.prepare(home.emptied)

    def finish(self) -> None:
        """Finish what a power cut left half done, also where it is not allowed any more. Raises
        NotPossible, OSError."""
        for path in paths_in(self._home.emptied, ID):
            film = self._home.recording(path.name)
            try:
                if not film.exists() or not _sealed(film):
                    continue
                note = read_plain(path, LARGEST)
                emptied, _ = open_fact(note, [self._books.signer.verifier], FilmEmptied)
                if (emptied.recording, emptied.manifest) != (film.name, _digest_of(film)):
                    raise BadFile("This note is about another film.")
            except (BadInput, FileNotFoundError) as error:
                _errors.error("%s: %s", path.name, error)
                continue
            self._take_away(emptied)

    def ordered(self, note: str) -> bool | None:
        """Carry out an order for this, True once it is done; None for what is none. Raises
        NotPossible, OSError."""
        try:
            from_json(note.partition("\n")[0], FilmEmptying)
        except BadFile:
            return None
        try:
            found = self._judged(note)
        except (BadInput, OSError):
            # Something of it cannot be read, or is no file.
            found = EmptyingRefusal.NO_FILM
        if isinstance(found, EmptyingRefusal):
            # Once in this process: a locked page could ask until the card is full.
            if found not in self._told:
                self._told.add(found)
                self._log.write("emptying-refused", reason=found.value)
            return False
        signed = sign_fact(self._books.signer, found)
        save(self._home.emptied / found.recording, signed.encode())
        self._take_away(found)
        return True

    def _judged(self, note: str) -> FilmEmptied | EmptyingRefusal:
        """What is to be done, or why not. Raises BadInput, OSError for what is in doubt."""
        if not self._allowed:
            return EmptyingRefusal.OFF
        try:
            order, by = open_fact(note, self._books.verifiers, FilmEmptying)
        except BadInput:
            return EmptyingRefusal.NOT_SIGNED
        checked_id(order.case), checked_id(order.film)
        now = self._now()
        refused = self._not_his(order, by) or self._not_now(order, now)
        if refused or now is None:
            return refused or EmptyingRefusal.CLOCK_NOT_SET
        refused = self._not_this_film(order) or self._kept(order)
        if refused:
            return refused
        proof = self._proof(order, now)
        if proof is None:
            return EmptyingRefusal.NOT_READ
        return FilmEmptied(
            recording=order.film,
            case=order.case,
            kit=order.kit,
            manifest=order.manifest,
            order=hashlib.sha256(note.encode()).hexdigest(),
            read=proof,
            at=now,
        )

    def _not_his(self, order: FilmEmptying, by: Verifier) -> EmptyingRefusal | None:
        if order.kit != self._books.kit:
            return EmptyingRefusal.NOT_SIGNED
        return None if self._books.is_of(order.case, by) else EmptyingRefusal.NOT_OF_TEAM

    def _not_now(self, order: FilmEmptying, now: datetime | None) -> EmptyingRefusal | None:
        if now is None:
            return EmptyingRefusal.CLOCK_NOT_SET
        if self._books.away(now):
            return EmptyingRefusal.KIT_AWAY
        if not _within(order.at, now, ORDER_LASTS):
            return EmptyingRefusal.OLD_ORDER
        return None

    def _not_this_film(self, order: FilmEmptying) -> EmptyingRefusal | None:
        """Not here, another, or one that nobody has looked at. Raises BadInput, OSError."""
        text = read_text(self._home.recording(order.film) / MANIFEST)
        manifest = parse_manifest(text, [self._books.signer.verifier])
        digest, started = hashlib.sha256(text.encode()).hexdigest(), manifest.started
        is_it = (started.recording, started.case) == (order.film, order.case)
        if not is_it or manifest.ended is None or digest != order.manifest:
            return EmptyingRefusal.NO_FILM
        if is_emptied(self._home, order.film):
            return EmptyingRefusal.NO_FILM
        if not started.started <= order.seen <= order.at:
            return EmptyingRefusal.NOT_SEEN
        for file, size, sha256 in ((MANIFEST, len(text.encode()), digest), *manifest.files):
            name = film_object(order.case, order.film, file)
            receipt = receipt_of(self._home, name)
            if receipt is None or (receipt.object, receipt.size, receipt.sha256) != (
                name,
                size,
                sha256,
            ):
                return EmptyingRefusal.NOT_CONFIRMED
        return None

    def _kept(self, order: FilmEmptying) -> EmptyingRefusal | None:
        """What keeps it for the family or against its end. Raises BadInput, OSError."""
        case = self._home.case(order.case)
        if held(case):
            return EmptyingRefusal.HELD
        record = load_fact(case.record, CaseRecord)
        taken_back = is_withdrawn(case) or is_film_withdrawn(case, order.film)
        closed = order.case in self._books.books.closed or taken_back
        if closed or record is None or record.id != order.case or record.state == "withdrawn":
            return EmptyingRefusal.CLOSED
        return None

    def _proof(self, order: FilmEmptying, now: datetime) -> str | None:
        """The digest of the service's word that it read this film; None where that is not so."""
        if self._books.enrolled is None:
            return None
        with suppress(FileNotFoundError, BadInput):
            note = read_text(self._home.inbox / FILMS_READ, LARGEST)
            read = self._books.enrolled.chain.word(note, FilmsRead)
            fresh = read.kit == order.kit and _within(read.at, now, PROOF_LASTS)
            if fresh and read.films.get(order.film) == order.manifest:
                return hashlib.sha256(note.encode()).hexdigest()
        return None

    def _take_away(self, emptied: FilmEmptied) -> None:
        film = self._home.recording(emptied.recording)
        self._log.write("film-emptied", recording=emptied.recording, case=emptied.case)
        for name in _sealed(film):
            (film / name).unlink()
        sync_directory(film)


def _within(at: datetime, now: datetime, lasts: timedelta) -> bool:
    return at <= now + CLOCKS_APART and now - at <= lasts


def _sealed(film: Path) -> list[str]:
    """Everything of a film but its manifest."""
    return [name for name in names_in(film) if name != MANIFEST]


def _digest_of(film: Path) -> str:
    return hashlib.sha256(read_plain(film / MANIFEST)).hexdigest()
