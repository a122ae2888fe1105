"""A film made elsewhere - by a phone, on a video call - brought into a case as one of its films.

    cases/<id>/imports/<film>/0000.mp4.age, 0000.index.age ...   as the recorder's own segments
    cases/<id>/imports/<film>/manifest    `kind: imported`, with the digest of the original; signed
                                          by the practitioner, for the recorder did not make it

The original is never kept, and nowhere in clear: while it is needed it lies sealed to a key that
only this process has, in a file without a name, which is gone when it is closed or the power is. It
is read there from wherever a decoder asks (a phone puts what it needs first at the end). The
decoding is done apart, by a process with nothing in reach (`appliance.media.apart`); what comes
from it is sealed as it comes. Without its manifest, written last, a film does not count.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import IO

import msgspec

from appliance.age.identities import generate_identity
from appliance.age.sealing import Bytes, Recipient, SealedWriter
from appliance.age.unsealing import SealedReader
from appliance.errors import BadFile, BadInput, Incomplete, KitError, NotPossible
from appliance.film.fragments import Fragment, FragmentSplitter, Init
from appliance.film.manifest import (
    MANIFEST,
    EndReason,
    FilmEnded,
    FilmStarted,
    SegmentClosed,
    manifest_lines,
)
from appliance.film.segment import SealedSegment
from appliance.media.apart import Apart
from appliance.media.structure import check_init
from appliance.media.wire import FilmRefusal, refusal
from appliance.records.files import ID, Home, paths_in, save, sync_directory
from appliance.records.signing import Signer

SEGMENT_SECONDS = 30
LARGEST = 16 << 30
"""Bytes of an original: an hour of a phone's best."""

_TOO_LONG_BY = 1
"""Seconds: whoever films with a phone stops a moment late."""


class Original:
    """A film from outside while it is needed. What is written to it is sealed at once."""

    def __init__(self, directory: Path, largest: int = LARGEST) -> None:
        """On the card of `directory`; nothing of it has a name there. Raises NotPossible."""
        self._largest = largest
        self._digest = hashlib.sha256()
        # For minutes, and on a card that may be kept for years: post-quantum like all the rest.
        self._identity = generate_identity()
        self._reader: SealedReader | None = None
        self.size = 0
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115
        except OSError as error:
            raise _card(error) from error
        self._writer = SealedWriter(self._file, [self._identity.recipient])

    def write(self, data: Bytes) -> int:
        """Take the next part of it. Raises BadInput when it gets too large, NotPossible."""
        if self.size + len(data) > self._largest:
            raise BadInput(
                "The film is bigger than %(size)s GiB.",
                "Save a shorter or smaller copy of it on the device it is on, and add that.",
                size=self._largest >> 30,
            )
        try:
            self._writer.write(data)
        except OSError as error:
            raise _card(error) from error
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of what was written."""
        return self._digest.hexdigest()

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer only at the end. Nothing can be written any more."""
        if self._reader is None:
            self._writer.close()
            self._file.flush()
            self._reader = SealedReader(self._file, [self._identity])  # type: ignore[arg-type]
        return self._reader.read_at(offset, length)

    def close(self) -> None:
        """It is gone. Safe to call twice."""
        self._file.close()


def import_film(
    original: Original,
    directory: Path,
    started: FilmStarted,
    recipient: Recipient,
    signer: Signer,
    now: Callable[[], datetime],
    apart: Apart,
    progress: Callable[[float], None] = lambda done: None,
) -> Sequence[KitError]:
    """Make `original` into a film in `directory`, which must not be there yet.

    `started` is its first line, without what is only known later: whether it has sound, and the
    digest of the original. `progress` is told at least each second how far the work is, from 0 to
    1; what it raises ends the work. Then, or when anything else goes wrong, nothing is left in
    `directory`. Returns what a person should know of it (`FilmNote`). Raises BadFile if it is not a
    film that can be taken, NotPossible.
    """
    try:
        directory.parent.mkdir(mode=0o750, exist_ok=True)
        directory.mkdir(mode=0o750)
    except OSError as error:
        raise _card(error) from error
    film = _Film(directory, started.recording, recipient)
    try:
        longest = started.limit + _TOO_LONG_BY
        came = apart.film(original, longest, film.take, progress)
        film.close_segment()
        progress(1.0)
        begun = msgspec.structs.replace(started, sound=came.sound, original=original.sha256)
        film.close(begun, now(), signer)
        return came.notes
    except BaseException as error:
        film.abandon()
        shutil.rmtree(directory, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, KitError):
            raise _card(error) from error
        raise


def clear_unfinished(home: Home) -> None:
    """Remove what a pulled plug left of imports. Call before any is begun."""
    for case in home.case_folders():
        for directory in paths_in(case.imports, ID):
            if not (directory / MANIFEST).exists():
                shutil.rmtree(directory)


class _Film:
    """The film while it is sealed: segments, their indexes, and at the end the manifest."""

    def __init__(self, directory: Path, recording: str, recipient: Recipient) -> None:
        self._directory, self._recording, self._recipient = directory, recording, recipient
        self._splitter = FragmentSplitter()
        self._init: Init | None = None
        self._segment: SealedSegment | None = None
        self._closed: list[SegmentClosed] = []
        self.seconds = Fraction(0)

    def take(self, data: bytes) -> float:
        """Seal some of what was made; how many seconds there are now. Raises BadFile."""
        for unit in self._splitter.feed(data):
            if isinstance(unit, Init):
                try:
                    check_init(unit.data)
                except BadFile as error:
                    raise refusal(FilmRefusal.NOT_MADE) from error
                self._init = unit
            else:
                self._add(unit)
        return float(self.seconds)

    def close_segment(self) -> None:
        """Put the last segment on the card. Raises BadFile if what was made does not end well."""
        try:
            self._splitter.finish()
        except Incomplete as error:
            raise refusal(FilmRefusal.NOT_MADE) from error
        if self._segment is not None:
            self._closed.append(self._segment.close())

    def close(self, started: FilmStarted, now: datetime, signer: Signer) -> None:
        """Write the manifest: from now on this is a film of the case."""
        ended = FilmEnded.after(self._closed, EndReason.IMPORTED, now)
        if not ended.frames:
            # Nobody broke a rule: not one of its pictures could be decoded.
            raise refusal(FilmRefusal.BROKEN)
        lines = manifest_lines(started, *self._closed, ended)
        sync_directory(self._directory.parent)
        save(self._directory / MANIFEST, signer.sign(lines).encode())

    def abandon(self) -> None:
        """Close what is open."""
        if self._segment is not None:
            self._segment.abandon()

    def _add(self, fragment: Fragment) -> None:
        segment = self._segment
        if segment is not None and (
            fragment.starts_with_key and segment.seconds >= SEGMENT_SECONDS
        ):
            self._closed.append(segment.close())
            segment = None
        if segment is None:
            assert self._init is not None
            number = len(self._closed)
            segment = self._segment = SealedSegment(
                self._directory, self._recording, number, self._init, self._recipient
            )
        segment.add(fragment)
        self.seconds += fragment.seconds


def _card(error: OSError) -> NotPossible:
    return NotPossible(
        "The memory card could not save the film: %(why)s.",
        "It may be full or worn out. Tell the person who looks after this kit.",
        why=error.strerror,
    )
