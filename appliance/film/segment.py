"""One sealed segment of a film, with its sealed index beside it."""

import hashlib
import os
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate, islice
from pathlib import Path
from typing import Protocol

from appliance.age.sealing import CHUNK, Bytes, Output, Recipient, SealedWriter, seal
from appliance.film.boxes import make
from appliance.film.fragments import Fragment, Init
from appliance.film.index import IndexBuilder, SegmentIndex
from appliance.film.manifest import SegmentClosed, index_name, segment_name
from appliance.records.files import save, sync_directory, to_json

LONGEST_HELD = Fraction(1, 8)
"""Seconds of film that `SealedSegment.sync` leaves in an open chunk."""
_BOX_HEAD = 8


class NewFile(Protocol):
    """A file that was not there before, without a buffer: what is written is with the system."""

    def write(self, data: Bytes, /) -> int: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


Create = Callable[[Path], NewFile]


def create(path: Path) -> NewFile:
    """Make a new file. Raises OSError, FileExistsError among them."""
    return open(path, "xb", buffering=0)


class WatchedFile:
    """A new file that asks `before` each write; what that raises is raised instead."""

    def __init__(self, file: NewFile, before: Callable[[], None]) -> None:
        self._file = file
        self._before = before
        self.fileno, self.close = file.fileno, file.close

    def write(self, data: Bytes, /) -> int:
        self._before()
        return self._file.write(data)


class HashedOutput:
    """Counts and hashes what is written through it into `file`."""

    def __init__(self, file: Output) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: Bytes) -> int:
        written = self._file.write(data)
        self._digest.update(memoryview(data)[:written])
        self.size += written
        return written

    @property
    def sha256(self) -> str:
        """Of what was written (hex)."""
        return self._digest.hexdigest()


class SealedSegment:
    """A segment while it is written. One thread at a time."""

    def __init__(
        self,
        directory: Path,
        recording: str,
        number: int,
        init: Init,
        recipient: Recipient,
        new_file: Create = create,
    ) -> None:
        """Make the file and write the film's head into it. Raises OSError."""
        self._directory = directory
        self._recipient = recipient
        self._file = new_file(directory / segment_name(number))
        self._measured = HashedOutput(self._file)
        try:
            sync_directory(directory)
            self._sealed = SealedWriter(self._measured, [recipient])
        except OSError:
            self._file.close()
            raise
        self._sealed.write(init.data)
        self._index = IndexBuilder(init, recording, number)
        self._track = init.picture
        self._held: deque[tuple[int, int]] = deque()
        """Pictures that are not wholly in sealed chunks: where each ends, and how long it lasts."""

    @property
    def seconds(self) -> Fraction:
        return self._index.seconds

    @property
    def size(self) -> int:
        """Bytes of the file so far."""
        return self._measured.size

    def add(self, fragment: Fragment) -> None:
        """Write one fragment; chunks are sealed as they fill."""
        at = self._index.size
        self._index.add(fragment, at)
        self._sealed.write(fragment.data)
        for run in fragment.samples:
            if run.track == self._track.id:
                ends = accumulate(run.sizes, initial=at + run.offset)
                self._held.extend(zip(islice(ends, 1, None), run.durations, strict=True))
        sealed = self._index.size - self._sealed.pending
        while self._held and self._held[0][0] <= sealed:
            self._held.popleft()

    def sync(self, at_once: bool = False) -> int:
        """Put what is sealed on the card; returns how many frames are there whole.

        Where more than `LONGEST_HELD` of film, or with `at_once` any, waits in the open chunk, a
        `free` box fills that chunk first.
        """
        held = Fraction(sum(lasts for _, lasts in self._held), self._track.timescale)
        if self._held and (at_once or held > LONGEST_HELD):
            self._fill_chunk()
        os.fdatasync(self._file.fileno())
        return self._index.frames - len(self._held)

    def close(self) -> SegmentClosed:
        """Complete the file and put its index beside it: both are on the card then."""
        if not self._sealed.pending:
            self._pad(_BOX_HEAD)
        self._sealed.close()
        os.fdatasync(self._file.fileno())
        self._file.close()
        return seal_index(
            self._directory, self._index.build(), self._recipient, self.size, self._measured.sha256
        )

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _fill_chunk(self) -> None:
        room = self._sealed.room
        if room:
            # A box cannot be shorter than its own head: then it takes the next chunk as well.
            self._pad(room if room >= _BOX_HEAD else room + CHUNK)
        self._sealed.flush_full()
        self._held.clear()

    def _pad(self, length: int) -> None:
        self._sealed.write(make(b"free", bytes(length - _BOX_HEAD)))
        self._index.size += length


def seal_index(
    directory: Path, index: SegmentIndex, recipient: Recipient, size: int, sha256: str
) -> SegmentClosed:
    """Put a segment's sealed index into `directory`, durably; returns the segment's line.

    `size` and `sha256` are those of the sealed segment. Raises NotPossible.
    """
    sealed = seal(to_json(index), [recipient])
    save(directory / index_name(index.number), sealed)
    return SegmentClosed(
        number=index.number,
        name=segment_name(index.number),
        size=size,
        sha256=sha256,
        frames=index.frames,
        seconds=float(index.seconds),
        index=index_name(index.number),
        index_size=len(sealed),
        index_sha256=hashlib.sha256(sealed).hexdigest(),
    )
