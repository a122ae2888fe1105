"""Playing a film again: its segments joined to one plain progressive MP4 that nobody ever writes.

The `JoinedFilm` that `appliance.film.recording` gives is a `moov` made from the indexes in front of
the segments' own bytes, unsealed where they are read. So a film of 45 minutes opens by reading
kilobytes, plays in anything that reads MP4, and is in no file in clear.
"""

import bisect
import hashlib
import operator
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, pairwise

from appliance.errors import BadFile
from appliance.film import boxes
from appliance.film.index import Plaintext, SegmentIndex, TrackIndex
from appliance.records.reading import ReadAt

_OPEN_SEGMENTS = 3
_SAME_TIME = "Two fragments of this film claim the same time."


class FrameTable:
    """When each frame of a film is shown, exactly, in the order they are shown."""

    def __init__(self, table: boxes.Table) -> None:
        """`table` is that of the picture."""
        self.timescale = table.timescale
        self.ticks = array("q", sorted(map(operator.add, table.times, table.shifts)))
        self.end_ticks = table.end

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
    """What a joined film takes from a segment's index: its samples, a few bytes each, where an
    index has an object for each number. Raises BadFile if the index contradicts itself."""

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
        self.frames = FrameTable(picture)
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


class JoinedFile(ReadAt):
    """A `JoinedFilm` as a seekable, read-only file object."""

    def __init__(self, film: JoinedFilm) -> None:
        self._film, self.size = film, film.size

    def read_at(self, offset: int, length: int, /) -> bytes:
        return self._film.read_at(offset, length)


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
