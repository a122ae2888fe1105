"""A recording's directory, opened: each segment held against the manifest, and what of it plays."""

import contextlib
import hashlib
import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from appliance.age.unsealing import Identity, SealedReader, unseal
from appliance.errors import BadFile, BadInput, Incomplete, NotOpened, NotPossible
from appliance.film.index import Plaintext, SegmentIndex, rebuild_index
from appliance.film.joined import JoinedFilm, Part
from appliance.film.manifest import (
    MANIFEST,
    MENDED_NAME,
    EndReason,
    Manifest,
    Mended,
    SegmentClosed,
    Tail,
    index_name,
    mended_name,
    read_manifest,
    segment_name,
)
from appliance.records.files import (
    CaseFolder,
    checked_id,
    from_json,
    names_in,
    open_plain,
    paths_in,
    read_plain,
    read_text,
)
from appliance.records.signing import Verifier, fact_in, open_fact

_COPIED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Missing:
    """What cannot be played, in seconds of the film; `end` is None where nobody knows it."""

    start: float
    end: float | None
    why: str

    def __str__(self) -> str:
        if self.end is None:
            return f"From {_clock(self.start)} on: {self.why}"
        return f"From {_clock(self.start)} to {_clock(self.end)}: {self.why}"


@dataclass(frozen=True)
class OpenedFilm:
    """A recording that plays, what the kit says of it, and what of it does not play."""

    directory: Path
    manifest: Manifest
    film: JoinedFilm
    missing: tuple[Missing, ...]

    @property
    def complete(self) -> bool:
        """True if it was ended in the ordinary way and every frame of it is here."""
        return self.manifest.ended is not None and not self.missing

    def close(self) -> None:
        self.film.close()


def open_recording(
    directory: Path,
    identities: Sequence[Identity],
    verifiers: Sequence[Verifier] = (),
    *,
    check: bool = False,
    derived: Path | None = None,
    menders: Sequence[Verifier] = (),
) -> OpenedFilm:
    """Open what lies in a recording's directory, with the case's identities.

    Every segment is held against the manifest: its size here, its digest when it is first read
    (then a bad one raises BadFile); with `check` all digests here, so that a bad one is left out.
    What is missing is said and the rest plays. An index that is missing or not the one in the
    manifest is made again. What was being written when the power went has no line in the
    manifest: its whole pictures play. What `appliance.casework.repair` has mended is taken from
    `derived` (`cases/<case>/derived/<recording>`), where one of `menders` signed it; without them,
    nobody asks who signed.

    Raises BadFile, BadSignature (`parse_manifest`), NoMatch, WrongPassphrase, and Incomplete
    if nothing of the film can be played.
    """
    manifest = read_manifest(directory, verifiers)
    recording = manifest.started.recording
    mended = read_mended(derived, recording, menders) if derived else {}
    found: list[tuple[Part, Callable[[], Plaintext]]] = []
    missing = []
    end = 0.0
    for line in manifest.segments:
        start, end = end, end + line.seconds
        source = SegmentSource(directory / line.name, line, identities)
        try:
            source.look(hashed=check)
            index = _read_index(directory, line, recording, identities)
            again = mended.get(line.number)
            if index is None and derived and again and again.source == line.sha256:
                index = _read_index(derived, again.segment, recording, identities)
            index = index or source.rebuild(recording, line.number)
            found.append((Part(index), source.open))
        except (BadFile, Incomplete, NotPossible) as error:
            missing.append(Missing(start, end, error.sentence))
    tail = _mended_tail(derived, manifest, mended, identities) if derived else []
    with_tail = [*found, *(tail or _tail(directory, manifest, identities))]
    if not with_tail:
        raise Incomplete(
            "Nothing of this film can be played.", "\n".join(str(part) for part in missing)
        )
    try:
        film = JoinedFilm(with_tail)
    except BadFile:
        # What has no line in a manifest may be anything; it must not spoil what has one.
        if len(with_tail) == len(found) or not found:
            raise
        film = JoinedFilm(found)
    unsure = _why_the_end_is_unsure(manifest)
    if unsure:
        missing.append(Missing(max(float(film.seconds), end), None, unsure))
    return OpenedFilm(directory, manifest, film, tuple(missing))


def read_mended(
    derived: Path, recording: str, menders: Sequence[Verifier] = ()
) -> dict[int, Mended]:
    """What was mended of a recording, by the number of its segment. What is no such note, or is
    signed by nobody among `menders`, counts as nothing: what it would stand for is still here."""
    found = {}
    for path in paths_in(derived, MENDED_NAME):
        with contextlib.suppress(BadInput, OSError):
            note = read_text(path)
            mended = open_fact(note, menders, Mended)[0] if menders else fact_in(note, Mended)
            number = mended.segment.number
            names = (segment_name(number), index_name(number), mended_name(number))
            if (mended.segment.name, mended.segment.index, path.name) == names and (
                mended.recording == recording
            ):
                found[number] = mended
    return found


def case_directory(directory: Path, manifest: Manifest) -> CaseFolder:
    """Where the case of the recording in `directory` lies: on a kit beside all recordings, in a
    store around its own. It need not be there: a withdrawn case leaves its recordings behind.
    """
    case = checked_id(manifest.started.case)
    around = directory.resolve().parent.parent
    return CaseFolder(around if around.name == case else around / "cases" / case)


def differences(directory: Path, manifest: Manifest) -> list[str]:
    """Hold every sealed file against the manifest, byte for byte, without any key.

    Says in a sentence each what is missing, altered or does not belong; an empty list is a pass.
    """
    expected = {MANIFEST, *(name for name, _, _ in manifest.files)}
    if manifest.ended is None:
        following = len(manifest.segments)
        expected |= {segment_name(following), index_name(following)}
    said = []
    for name, size, sha256 in manifest.files:
        try:
            with open_plain(directory / name) as file:
                _compare(name, file, size, sha256)
        except FileNotFoundError:
            said.append(_not_here(name))
        except BadFile as error:
            said.append(error.sentence)
        except OSError as error:
            said.append(f"{name} could not be read: {error.strerror}.")
    for name in names_in(directory):
        if name not in expected:
            said.append(f"{name} does not belong to this recording.")
    return said


def write_film(opened: OpenedFilm, file: IO[bytes]) -> None:
    """Write the film in clear, as a progressive MP4. Raises what reading a segment raises."""
    with opened.film.open() as source:
        shutil.copyfileobj(source, file, _COPIED_AT_ONCE)


class SegmentSource:
    """A segment's sealed file, held against what the manifest says of it, if it says anything."""

    def __init__(
        self, path: Path, line: SegmentClosed | Tail | None, identities: Sequence[Identity]
    ) -> None:
        self._path = path
        self._line = line
        self._identities = identities
        self._hashed = line is None

    def look(self, *, hashed: bool) -> None:
        """Raises BadFile or NotPossible if the file is not here or not the one in the manifest."""
        with self._opened() as file:
            self._hold(file, hashed)

    def open(self) -> SealedReader:
        """Raises BadFile, NotPossible, NoMatch, WrongPassphrase. The first time, the whole file is
        held against the manifest: what is shown is what the kit signed."""
        file = self._opened()
        try:
            self._hold(file, not self._hashed)
            return SealedReader(file, self._identities)
        except BaseException:
            file.close()
            raise

    def rebuild(self, recording: str, number: int) -> SegmentIndex:
        with self.open() as segment:
            return rebuild_index(segment, recording, number)

    def _opened(self) -> io.BufferedReader:
        try:
            return open_plain(self._path)
        except FileNotFoundError as error:
            raise BadFile(_not_here(self._path.name)) from error
        except OSError as error:
            raise _unreadable(self._path, error) from error

    def _hold(self, file: io.BufferedReader, hashed: bool) -> None:
        if self._line is None:
            return
        try:
            sha256 = self._line.sha256 if hashed else None
            _compare(self._path.name, file, self._line.size, sha256)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        self._hashed = self._hashed or hashed


def _mended_tail(
    derived: Path, manifest: Manifest, mended: Mapping[int, Mended], identities: Sequence[Identity]
) -> list[tuple[Part, Callable[[], Plaintext]]]:
    """The tail as it was made whole again, if it was, and of just this tail."""
    again = mended.get(len(manifest.segments))
    tail = manifest.ended.tail if manifest.ended else None
    if again is None or tail is None or again.source != tail.sha256:
        return []
    recording = manifest.started.recording
    source = SegmentSource(derived / again.segment.name, again.segment, identities)
    try:
        source.look(hashed=False)
        index = _read_index(derived, again.segment, recording, identities)
        index = index or source.rebuild(recording, again.segment.number)
        return [(Part(index), source.open)]
    except (BadFile, Incomplete, NotPossible, NotOpened):
        return []


def _tail(
    directory: Path, manifest: Manifest, identities: Sequence[Identity]
) -> list[tuple[Part, Callable[[], Plaintext]]]:
    """The segment that was being written when the film was cut off, if it has a whole picture."""
    line = manifest.ended.tail if manifest.ended else None
    number = len(manifest.segments)
    path = directory / segment_name(number)
    if (manifest.ended is not None and line is None) or not path.exists():
        return []
    source = SegmentSource(path, line, identities)
    try:
        index = source.rebuild(manifest.started.recording, number)
        return [(Part(index), source.open)] if index.frames else []
    except (BadFile, Incomplete, NotPossible):
        return []
    except NotOpened:
        if manifest.segments:
            return []
        raise


def _why_the_end_is_unsure(manifest: Manifest) -> str | None:
    if manifest.ended is None:
        return "this film has no end yet: it is being made, or the kit has not recovered it."
    if manifest.ended.why is EndReason.POWER:
        return "the power was cut. At most a second is lost, and what the card had not yet kept."
    if manifest.ended.tail is not None:
        return "the last segment was never closed; what was whole of it is here."
    return None


def _read_index(
    directory: Path, line: SegmentClosed, recording: str, identities: Sequence[Identity]
) -> SegmentIndex | None:
    """The index the manifest names, or None if that is not what lies there."""
    try:
        data = read_plain(directory / line.index)
    except (BadFile, OSError):
        return None
    if hashlib.sha256(data).hexdigest() != line.index_sha256:
        return None
    index = from_json(unseal(data, identities), SegmentIndex)
    return index if (index.recording, index.number) == (recording, line.number) else None


def _compare(name: str, file: io.BufferedReader, size: int, sha256: str | None) -> None:
    """Raises BadFile if `file` is not `size` bytes long, or has another digest."""
    there = file.seek(0, io.SEEK_END)
    if there != size:
        raise BadFile(
            "%(name)s has %(there)s bytes; the manifest says %(size)s.",
            name=name,
            there=there,
            size=size,
        )
    if sha256 is not None:
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise BadFile(
                "%(name)s is not the file that the kit signed: it was altered or damaged.",
                name=name,
            )


def _not_here(name: str) -> str:
    return f"{name} is not here."


def _unreadable(path: Path, error: OSError) -> NotPossible:
    return NotPossible(
        "%(name)s could not be read: %(why)s.",
        "Check the memory card.",
        name=path.name,
        why=error.strerror,
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
