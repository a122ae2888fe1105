"""Playing a film again: its segments joined to one plain progressive MP4 that nobody ever writes.

`open_recording` reads what lies in `recordings/<id>`, on a kit or in a store; the `JoinedFilm` it
gives is a `moov` made from the indexes in front of the segments' own bytes, unsealed where they are
read. So a film of 45 minutes opens by reading kilobytes, plays in anything that reads MP4, and is
in no file in clear.
"""

import bisect
import contextlib
import hashlib
import io
import operator
import shutil
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import IO

from appliance import boxes
from appliance.age.unsealing import Identity, SealedReader, unseal
from appliance.errors import BadFile, BadInput, Incomplete, NotOpened, NotPossible
from appliance.film import (
    MENDED_NAME,
    EndReason,
    Manifest,
    Mended,
    Plaintext,
    SegmentClosed,
    SegmentIndex,
    Tail,
    TrackIndex,
    index_name,
    mended_name,
    parse_manifest,
    rebuild_index,
    segment_name,
)
from appliance.records.files import (
    checked_id,
    from_json,
    names_in,
    open_plain,
    paths_in,
    read_plain,
    read_text,
)
from appliance.records.signing import Verifier, open_note, split_note

_OPEN_SEGMENTS = 3
_COPIED_AT_ONCE = 1 << 20
_SAME_TIME = "Two fragments of this film claim the same time."


class FrameTable:
    """When each frame of a film is shown, exactly, in the order they are shown."""

    def __init__(self, timescale: int, times: Sequence[int], keys: Sequence[int], end: int) -> None:
        self.timescale = timescale
        self.ticks = array("q", times)
        self.key_ticks = array("q", keys)
        self.end_ticks = end

    def __len__(self) -> int:
        return len(self.ticks)

    def time(self, frame: int) -> Fraction:
        """Seconds from the start of the film at which frame number `frame` (from 0) appears."""
        return Fraction(self.ticks[frame], self.timescale)

    @property
    def end(self) -> Fraction:
        """Seconds at which the last frame goes."""
        return Fraction(self.end_ticks, self.timescale)

    def at(self, seconds: Fraction | float) -> int:
        """The number of the frame that is seen at `seconds`; the nearest one outside the film."""
        place = bisect.bisect_right(self.ticks, Fraction(seconds) * self.timescale) - 1
        return min(max(place, 0), len(self.ticks) - 1)


class Part:
    """What a joined film takes from a segment's index: its samples, a few bytes each. The index
    itself, where each number is an object, has megabytes for a film of 45 minutes.

    Raises BadFile if the index contradicts itself.
    """

    def __init__(self, index: SegmentIndex) -> None:
        index.check()
        self.recording, self.number = index.recording, index.number
        self.init, self.size = index.init, index.size
        self.tables = {track.id: _table(track) for track in index.tracks}
        self.picture = next(track.id for track in index.tracks if track.kind == "video")


class JoinedFilm:
    """A film's segments as one progressive MP4 that is in no file: size, and bytes from anywhere.

    What is missing between two segments becomes a longer last frame before the gap; what is
    missing at the start, an empty edit: times always count from the start of the film. Holds the
    tables, and at most three segments open. Any thread may read. Raises BadFile if there is no
    segment or if the indexes are not of one film, in order.
    """

    def __init__(self, segments: Iterable[tuple[Part, Callable[[], Plaintext]]]) -> None:
        parts, self._openers = [], []
        for part, opener in segments:
            parts.append(part)
            self._openers.append(opener)
        if not parts:
            raise BadFile("There is nothing in this film that could be played.")
        for before, after in pairwise(parts):
            if (after.recording, after.init) != (before.recording, before.init) or not (
                before.number < after.number
            ):
                raise BadFile("These segments are not of one film, or not in order.")
        self._sizes = [part.size for part in parts]
        tables = {
            track: _in_a_row([part.tables[track] for part in parts], self._sizes)
            for track in parts[0].tables
        }
        picture = tables[parts[0].picture]
        if not picture.times:
            raise BadFile("There is not one whole picture in this film.")
        self.frames = _frame_table(picture)
        self._head = boxes.progressive_head(parts[0].init, tables, sum(self._sizes))
        self._starts = [len(self._head)]
        for size in self._sizes:
            self._starts.append(self._starts[-1] + size)
        self.size = self._starts[-1]
        self.etag = hashlib.sha256(parts[0].recording.encode() + self._head).hexdigest()[:32]
        """Changes when a byte of the virtual file would."""
        self._open: OrderedDict[int, Plaintext] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def seconds(self) -> Fraction:
        """How long the picture lasts, from the start of the film."""
        return self.frames.end

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes of the virtual file from `offset`, fewer only at its end. Any thread.

        Raises what opening or reading a segment raises, and BadFile if a segment is shorter than
        its index says; ValueError after `close`.
        """
        end = min(offset + length, self.size)
        if offset < 0 or offset >= end:
            return b""
        parts = [self._head[offset:end]]
        place = max(bisect.bisect_right(self._starts, offset) - 1, 0)
        while place < len(self._openers) and self._starts[place] < end:
            start = self._starts[place]
            first, last = max(offset - start, 0), min(end - start, self._sizes[place])
            if first < last:
                parts.append(self._read_segment(place, first, last - first))
            place += 1
        return b"".join(parts)

    def open(self) -> "JoinedFile":
        """The virtual file as a file object with a position of its own, for PyAV and copying."""
        return JoinedFile(self)

    def close(self) -> None:
        """Close every segment; whoever still reads gets a ValueError. Safe to call twice."""
        with self._lock:
            self._closed = True
            while self._open:
                self._open.popitem()[1].close()

    def _read_segment(self, place: int, offset: int, length: int) -> bytes:
        # One lock for all: opening is rare, and unsealing holds the interpreter's lock anyway.
        with self._lock:
            if self._closed:
                raise ValueError("This film was closed.")
            segment = self._open.get(place)
            if segment is None:
                while len(self._open) >= _OPEN_SEGMENTS:
                    self._open.popitem(last=False)[1].close()
                segment = self._open[place] = self._openers[place]()
            self._open.move_to_end(place)
            data = segment.read_at(offset, length)
        if len(data) != length:
            raise BadFile("A segment of this film is shorter than its index says.")
        return data


class JoinedFile(io.RawIOBase):
    """A `JoinedFilm` as a seekable, read-only file object."""

    def __init__(self, film: JoinedFilm) -> None:
        self._film = film
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._film.size}[whence]
        if base + offset < 0:
            raise ValueError("A position cannot be before the start of the film.")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        data = self._film.read_at(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def _table(track: TrackIndex) -> boxes.Table:
    """One track's samples in a segment."""
    table = boxes.Table(track.timescale)
    for run in track.runs:
        if table.times and run.time <= table.times[-1]:
            raise BadFile(_SAME_TIME)
        table.chunks.append(run.offset)
        table.counts.append(len(run.sizes))
        table.keys.extend(len(table.times) + key for key in run.keys)
        table.sizes.extend(run.sizes)
        table.shifts.extend(_spread(run.shifts) if run.shifts else (0,) * len(run.sizes))
        time = run.time
        for duration in _spread(run.durations):
            table.times.append(time)
            time += duration
        table.end = time
        if time > boxes.LAST_TICK:
            raise BadFile("This film is too long to be one of ours.")
    return table


def _in_a_row(tables: Sequence[boxes.Table], sizes: Sequence[int]) -> boxes.Table:
    """One track's samples over the whole film, from those in its segments of so many bytes."""
    whole = boxes.Table(tables[0].timescale)
    base = 0
    for table, size in zip(tables, sizes, strict=True):
        if whole.times and table.times and table.times[0] <= whole.times[-1]:
            raise BadFile(_SAME_TIME)
        whole.keys.extend(len(whole.times) + key for key in table.keys)
        whole.chunks.extend(base + chunk for chunk in table.chunks)
        whole.counts += table.counts
        whole.times += table.times
        whole.sizes += table.sizes
        whole.shifts += table.shifts
        whole.end = table.end or whole.end
        base += size
    return whole


def _spread(pairs: Iterable[tuple[int, int]]) -> Iterator[int]:
    return chain.from_iterable((value,) * count for count, value in pairs)


def _frame_table(table: boxes.Table) -> FrameTable:
    shown = array("q", map(operator.add, table.times, table.shifts))
    keys = [shown[key] for key in table.keys]
    return FrameTable(table.timescale, sorted(shown), sorted(keys), table.end)


# --- A recording --------------------------------------------------------------------------------


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

    def verify(self) -> list[str]:
        """`differences` for this film: an empty list is a pass."""
        return differences(self.directory, self.manifest)

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
    manifest: its whole fragments play. What `appliance.library` has mended is taken from `derived`
    (`cases/<case>/derived/<recording>`), where one of `menders` signed it; without them, it is not
    looked into who signed.

    Raises BadFile, BadSignature (`film.parse_manifest`), NoMatch, WrongPassphrase, and Incomplete
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


def read_manifest(directory: Path, verifiers: Sequence[Verifier] = ()) -> Manifest:
    """The manifest in a recording's directory. Raises BadFile, BadSignature."""
    try:
        text = read_plain(directory / "manifest").decode()
    except FileNotFoundError as error:
        raise BadFile(
            "%(name)s is not a recording: it has no manifest.",
            "Give the directory of a recording, recordings/<id>.",
            name=directory.name,
        ) from error
    except UnicodeDecodeError as error:
        raise BadFile("The manifest of this recording is damaged.") from error
    return parse_manifest(text, verifiers)


def read_mended(
    derived: Path, recording: str, menders: Sequence[Verifier] = ()
) -> dict[int, Mended]:
    """What was mended of a recording, by the number of its segment. What is no such note, or is
    signed by nobody among `menders`, counts as nothing: what it would stand for is still here."""
    found = {}
    for path in paths_in(derived, MENDED_NAME):
        with contextlib.suppress(BadInput, OSError):
            note = read_text(path)
            text = open_note(note, menders)[0] if menders else split_note(note)[0]
            mended = from_json(text, Mended)
            number = mended.segment.number
            names = (segment_name(number), index_name(number), mended_name(number))
            if (mended.segment.name, mended.segment.index, path.name) == names and (
                mended.recording == recording
            ):
                found[number] = mended
    return found


def case_directory(directory: Path, manifest: Manifest) -> Path:
    """Where the case of the recording in `directory` lies: on a kit beside all recordings, in a
    store around its own. It need not be there: a withdrawn case leaves its recordings behind.
    """
    case = checked_id(manifest.started.case)
    around = directory.resolve().parent.parent
    return around if around.name == case else around / "cases" / case


def differences(directory: Path, manifest: Manifest) -> list[str]:
    """Hold every sealed file against the manifest, byte for byte, without any key.

    Says in a sentence each what is missing, altered or does not belong; an empty list is a pass.
    """
    lines: list[tuple[str, int, str]] = []
    for segment in manifest.segments:
        lines.append((segment.name, segment.size, segment.sha256))
        lines.append((segment.index, segment.index_size, segment.index_sha256))
    expected = {"manifest", *(name for name, _, _ in lines)}
    if manifest.ended is None:
        following = len(manifest.segments)
        expected |= {segment_name(following), index_name(following)}
    elif manifest.ended.tail is not None:
        tail = manifest.ended.tail
        lines.append((tail.name, tail.size, tail.sha256))
        expected.add(tail.name)
    said = []
    for name, size, sha256 in lines:
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


class _Segment:
    """An opened segment; closing it closes its file."""

    def __init__(self, file: io.BufferedReader, identities: Sequence[Identity]) -> None:
        self._file = file
        self._reader = SealedReader(file, identities)

    @property
    def size(self) -> int:
        return self._reader.size

    def read_at(self, offset: int, length: int, /) -> bytes:
        return self._reader.read_at(offset, length)

    def close(self) -> None:
        self._file.close()


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

    def open(self) -> _Segment:
        """Raises BadFile, NotPossible, NoMatch, WrongPassphrase. The first time, the whole file is
        held against the manifest: what is shown is what the kit signed."""
        file = self._opened()
        try:
            self._hold(file, not self._hashed)
            return _Segment(file, self._identities)
        except BaseException:
            file.close()
            raise

    def rebuild(self, recording: str, number: int) -> SegmentIndex:
        segment = self.open()
        try:
            return rebuild_index(segment, recording, number)
        finally:
            segment.close()

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
        "Look at the card.",
        name=path.name,
        why=error.strerror,
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
