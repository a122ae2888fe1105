"""Mending what the power cut, once somebody is there who can open it.

The recorder holds no key that opens a film. After a power cut it signs how large the loose tail is
and leaves it as it is. When a practitioner has unlocked the page, the tail's whole pictures are
sealed again, whole, beside the case; so is an index that was lost. The recorder's own files are
never touched: whoever doubts the mended segment has the original and its digest in the manifest.

    cases/<case>/derived/<recording>/0003.mp4.age, 0003.index.age
    cases/<case>/derived/<recording>/0003.mended      what was done, signed by the practitioner

The note is written last. Without it nothing counts, so a mending that was cut is done again.
"""

import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import SealedWriter
from appliance.errors import BadFile, BadInput, Incomplete, KitError, NotOpened, NotPossible
from appliance.film.index import Plaintext, SegmentIndex, rebuild_index
from appliance.film.manifest import (
    Manifest,
    Mended,
    SegmentClosed,
    Tail,
    mended_name,
    read_manifest,
    segment_name,
)
from appliance.film.recording import SegmentSource, read_mended
from appliance.film.segment import HashedOutput, seal_index
from appliance.protocol.emptying import is_emptied
from appliance.records.audit import Event
from appliance.records.files import (
    ID,
    CaseFolder,
    Home,
    checked_id,
    paths_in,
    plain_size,
    save,
    saving,
    sync_directory,
)
from appliance.records.signing import Verifier, sign_fact
from appliance.vault.cases import OpenCase

_COPIED_AT_ONCE = 1 << 20


class Note(Protocol):
    """Writes an event and its ids into a log."""

    def __call__(self, event: Event, **ids: str) -> None: ...


def mend_all(
    home: Home,
    open_case: Callable[[str], OpenCase],
    kit: Sequence[Verifier],
    now: Callable[[], datetime],
    note: Note,
) -> None:
    """Mend every film on the kit that needs it and that `open_case` can open. For each unlock.

    `kit` is whose manifests are believed. Every mended segment and every failure is noted; neither
    stops the others. Takes as long as sealing the tails does: call it beside what a person waits
    for. One at a time.
    """
    for recording, case in waiting(home, kit):
        try:
            for mended in mend(home.recording(recording), open_case(case), kit, now()):
                note("mended", recording=recording, segment=str(mended.segment.number))
        except NotOpened:
            continue  # Withdrawn, or not a case of whoever has unlocked.
        except KitError as error:
            note("mend-failed", recording=recording, code=error.code)


def waiting(home: Home, kit: Sequence[Verifier]) -> list[tuple[str, str]]:
    """The recordings that something can be mended of, each with its case. Needs no key."""
    found = []
    for directory in paths_in(home.recordings, ID):
        with contextlib.suppress(BadInput, OSError):
            if is_emptied(home, directory.name):
                continue
            manifest = read_manifest(directory, kit)
            case = checked_id(manifest.started.case)
            derived = _derived(home.case(case), directory)
            if any(
                not (derived / mended_name(number)).exists()
                for number, _ in _broken(directory, manifest)
            ):
                found.append((directory.name, case))
    return found


def mend(
    directory: Path, case: OpenCase, kit: Sequence[Verifier], now: datetime
) -> tuple[Mended, ...]:
    """Mend what can be mended of the recording in `directory`, and return what was.

    Only what the kit has signed is mended: a tail that is not the one in the manifest stays as it
    is, and so does one without a whole picture. Safe to call again: what is done is not done
    twice. Raises BadFile, BadSignature, NotOpened, NotPossible.
    """
    manifest = read_manifest(directory, kit)
    recording = manifest.started.recording
    if (recording, manifest.started.case) != (directory.name, case.id):
        raise BadFile("This recording is not of this family, or is under another's name.")
    derived = _derived(case.directory, directory)
    done = read_mended(derived, recording, case.verifiers)
    made = []
    try:
        for number, line in _broken(directory, manifest):
            if number not in done:
                source = SegmentSource(directory / line.name, line, case.identities)
                # What is missing or altered, the film itself says when it is opened.
                with contextlib.suppress(BadFile, Incomplete):
                    if mended := _mended(source, derived, recording, number, line, case, now):
                        made.append(mended)
    except KitError:
        raise  # Some of them are OSErrors too.
    except OSError as error:
        raise NotPossible(
            "The repaired film could not be saved: %(why)s.",
            "Check the memory card.",
            why=error.strerror,
        ) from error
    return tuple(made)


def _derived(case: CaseFolder, directory: Path) -> Path:
    return case.derived / directory.name


def _broken(directory: Path, manifest: Manifest) -> list[tuple[int, SegmentClosed | Tail]]:
    """The segments whose index is not here, and the tail, each with its number."""
    if manifest.ended is None:
        return []  # It is being made, or the recorder has not recovered it.
    found: list[tuple[int, SegmentClosed | Tail]] = [
        (line.number, line)
        for line in manifest.segments
        if not _is_here(directory / line.index, line.index_size)
    ]
    if manifest.ended.tail is not None:
        found.append((len(manifest.segments), manifest.ended.tail))
    return found


def _is_here(path: Path, size: int) -> bool:
    try:
        return plain_size(path) == size
    except (BadFile, FileNotFoundError):
        return False


def _mended(
    source: SegmentSource,
    derived: Path,
    recording: str,
    number: int,
    line: SegmentClosed | Tail,
    case: OpenCase,
    now: datetime,
) -> Mended | None:
    """Mend one segment; None if there is not one whole picture in it."""
    recipient = parse_recipient(case.record.recipient)
    size, sha256 = line.size, line.sha256
    with contextlib.closing(source.open()) as segment:
        index = rebuild_index(segment, recording, number)
        if not index.frames:
            return None
        for directory in (derived.parent, derived):
            directory.mkdir(mode=0o750, exist_ok=True)
            sync_directory(directory.parent)
        if isinstance(line, Tail):
            with saving(derived / segment_name(number)) as file:
                measured = HashedOutput(file)
                _seal_whole(segment, index, SealedWriter(measured, [recipient]))
            size, sha256 = measured.size, measured.sha256
    closed = seal_index(derived, index, recipient, size, sha256)
    mended = Mended(recording=recording, source=line.sha256, segment=closed, made=now)
    note = sign_fact(case.keys.signer, mended)
    save(derived / mended_name(number), note.encode())
    return mended


def _seal_whole(segment: Plaintext, index: SegmentIndex, writer: SealedWriter) -> None:
    """A segment up to its last whole picture, and not what was torn behind it."""
    for at in range(0, index.size, _COPIED_AT_ONCE):
        writer.write(segment.read_at(at, min(_COPIED_AT_ONCE, index.size - at)))
    writer.close()
