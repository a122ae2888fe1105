"""From the muxer to the card: a film cut into segments, each sealed and on the card as it is made.

A thread of its own writes, so that a slow card never holds up the camera. What waits for it is
bounded, in seconds of film and in bytes. After each fragment everything sealed is synced.
"""

import hashlib
import logging
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from appliance.age.sealing import Recipient
from appliance.config import Config
from appliance.errors import BadFile, KitError, NotPossible
from appliance.film.fragments import Fragment, FragmentSplitter, Init
from appliance.film.manifest import (
    MANIFEST,
    EndReason,
    FilmedWith,
    FilmEnded,
    FilmStarted,
    SegmentClosed,
    Tail,
    manifest_lines,
    read_manifest,
    segment_name,
)
from appliance.film.segment import Create, SealedSegment, WatchedFile, create
from appliance.records.clock import Clock
from appliance.records.files import Home, names_in, open_plain, save, sync_directory
from appliance.records.signing import Signer

_errors = logging.getLogger(__name__)

QUEUE_SECONDS = 4
"""Seconds of film that may wait for the card before it counts as too slow."""
LONGEST_CLOSING = 8.0
"""Seconds after a film's end in which what still waits is written. Then it is given up and the rest
is signed, long before the recorder would end itself because the card hangs."""


class _TooSlow(OSError):
    """The card has had its time."""


@dataclass(frozen=True)
class FilmParts:
    """What every film of this recorder is made with."""

    home: Home
    config: Config
    signer: Signer
    clock: Clock
    now: Callable[[], datetime | None]
    """The time, where it is trusted."""
    on_growth: Callable[[int], None] = lambda size: None
    """Told, by the writer's thread, how many bytes are on the card. May raise OSError."""
    card: Callable[[], Create] = lambda: create
    """Gives each film what makes its files."""


class FilmWriter:
    """Writes one film into its directory.

    `write` may be called from any thread and never raises. `on_failure` is called at most once, if
    the film cannot go on; `on_closed` exactly once after `finish`, with what went wrong or None.
    Both are called from the writer's thread, or from the one that calls `write`.
    """

    def __init__(
        self,
        parts: FilmParts,
        started: FilmStarted,
        recipient: Recipient,
        most_waiting: int,
        on_failure: Callable[[EndReason], None],
        on_closed: Callable[[EndReason | None], None],
    ) -> None:
        """`most_waiting`: bytes that may wait for the card, as a bound for memory."""
        self._parts = parts
        self._directory = parts.home.recording(started.recording)
        self._started = started
        self._recipient = recipient
        self._clock = parts.clock
        self._new_file = parts.card()
        self._most_waiting = most_waiting
        self._on_failure = on_failure
        self._on_closed = on_closed
        self._changed = threading.Condition()
        self._splitter = FragmentSplitter()
        self._init: Init | None = None
        self._queue: deque[Fragment] = deque()
        self._waiting = Fraction(0)
        """Seconds of film in the queue."""
        self._waiting_bytes = 0
        self._dropping = False
        self._why: EndReason | None = None
        self._filmed_with: FilmedWith | None = None
        self._close_by = float("inf")
        """Monotonic second after which nothing more is written."""
        self._segment: SealedSegment | None = None
        self._bytes_closed = 0
        self._frames_closed = 0
        self.segments = 0
        """Segments closed."""
        self.frames = 0
        """Frames that are sealed and on the card."""
        self.bytes = 0
        """Bytes of sealed film on the card."""
        self.first_sealed: float | None = None
        """Monotonic second at which the first frame was on the card."""
        self.ended: EndReason | None = None
        """Why the film ended, as its manifest says, once it is closed."""

    @property
    def busy(self) -> bool:
        """True while more than a second of film waits for the card. A camera that gives pictures
        before it says what it is set to waits for nothing."""
        return self._filmed_with is not None and self._waiting > 1

    def begin(self) -> None:
        """Make the film's place, durably. Raises NotPossible."""
        try:
            self._directory.mkdir(mode=0o750)
            save(self._directory / MANIFEST, manifest_lines(self._started).encode())
            sync_directory(self._directory.parent)
        except OSError as error:
            raise NotPossible(f"The film has no place on the card: {error.strerror}.") from error
        # A daemon: a writer that hangs must not hold up the end of the process.
        threading.Thread(target=self._run, name="writer", daemon=True).start()

    def filmed_with(self, said: FilmedWith) -> None:
        """The camera is open, and set so: from now on what it gives is written."""
        with self._changed:
            self._filmed_with = said
            self._changed.notify()

    def write(self, data: bytes) -> None:
        """Take some of the muxer's bytes."""
        with self._changed:
            if self._dropping or self._why is not None:
                return
            failure = self._queue_up(data)
            self._dropping = failure is not None
            self._changed.notify()
        if failure is not None:
            self._on_failure(failure)

    def finish(self, why: EndReason) -> None:
        """No more comes: close the film. Returns at once; `on_closed` follows."""
        with self._changed:
            self._why = why
            self._close_by = self._clock.monotonic() + LONGEST_CLOSING
            self._changed.notify()

    def _queue_up(self, data: bytes) -> EndReason | None:
        """Put what these bytes complete into the queue; returns why that cannot be."""
        try:
            units = self._splitter.feed(data)
        except Exception:
            # Nothing may be raised into the library that calls this.
            _errors.exception("what the muxer wrote is not a film")
            return EndReason.FAULT
        for unit in units:
            if isinstance(unit, Init):
                self._init = unit
                continue
            seconds, size = self._waiting + unit.seconds, self._waiting_bytes + len(unit.data)
            if seconds > QUEUE_SECONDS or size > self._most_waiting:
                return EndReason.SLOW_CARD
            self._queue.append(unit)
            self._waiting, self._waiting_bytes = seconds, size
        return None

    def _run(self) -> None:
        failed = None
        try:
            self._write_film()
        except (OSError, KitError) as error:
            failed = EndReason.DISK_FAILED if isinstance(error, OSError) else EndReason.FAULT
            if isinstance(error, _TooSlow):
                failed = EndReason.SLOW_CARD
            _errors.exception("the film cannot go on")
            self._give_up(failed)
        assert self._why is not None
        try:
            end = end_film(
                self._directory, failed or self._why, self._parts.now(), self._parts.signer
            )
            self.ended = end.why
        except (OSError, KitError):
            # What is sealed stays; the next start closes the film.
            _errors.exception("the film could not be closed")
            failed = failed or EndReason.DISK_FAILED
        self._on_closed(failed)

    def _write_film(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._filmed_with or self._why is not None)
        if self._filmed_with is not None:
            self._tell(self._filmed_with)
        while (fragment := self._next()) is not None:
            self._take(fragment)
        if self._segment is not None:
            self._close_segment(self._segment)

    def _take(self, fragment: Fragment) -> None:
        segment = self._segment
        if segment is not None and (
            fragment.starts_with_key and segment.seconds >= self._parts.config.segment_seconds
        ):
            self._close_segment(segment)
            segment = None
        if segment is None:
            assert self._init is not None
            segment = self._segment = SealedSegment(
                self._directory,
                self._started.recording,
                self.segments,
                self._init,
                self._recipient,
                lambda path: WatchedFile(self._new_file(path), self._check_time),
            )
        # The first is sealed at once: from then on it can be said that there is a film.
        segment.add(fragment)
        self.frames = self._frames_closed + segment.sync(at_once=self.first_sealed is None)
        self.bytes = self._bytes_closed + segment.size
        self._parts.on_growth(self.bytes)
        if self.first_sealed is None and self.frames:
            self.first_sealed = self._clock.monotonic()

    def _close_segment(self, segment: SealedSegment) -> None:
        closed = segment.close()
        self._segment = None
        self._tell(closed)
        self.segments += 1
        self._frames_closed += closed.frames
        self._bytes_closed += closed.size
        self.frames, self.bytes = self._frames_closed, self._bytes_closed

    def _tell(self, fact: FilmedWith | SegmentClosed) -> None:
        """The manifest's next line."""
        with open(self._directory / MANIFEST, "ab", buffering=0) as manifest:
            manifest.write(manifest_lines(fact).encode())
            os.fdatasync(manifest.fileno())

    def _check_time(self) -> None:
        if self._clock.monotonic() >= self._close_by:
            raise _TooSlow("the card did not take in time what waited for it")

    def _next(self) -> Fragment | None:
        """The next fragment, or None when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._why is not None)
            if not self._queue:
                return None
            fragment = self._queue.popleft()
            self._waiting -= fragment.seconds
            self._waiting_bytes -= len(fragment.data)
            return fragment

    def _give_up(self, failed: EndReason) -> None:
        """Nothing can be written any more: say so and wait until the film is ended."""
        if self._segment is not None:
            self._segment.abandon()
        with self._changed:
            told, self._dropping = self._dropping or self._why is not None, True
            self._queue.clear()
            self._waiting, self._waiting_bytes = Fraction(0), 0
        if not told:
            self._on_failure(failed)
        with self._changed:
            self._changed.wait_for(lambda: self._why is not None)


def end_film(directory: Path, why: EndReason, ended: datetime | None, signer: Signer) -> FilmEnded:
    """Write a film's last line and sign its manifest; a segment without its line is the tail.

    Needs no key that opens anything. Raises BadFile for an unreadable manifest, NotPossible.
    """
    manifest = read_manifest(directory)
    segments = manifest.segments
    end = FilmEnded.after(segments, why, ended, _tail(directory, len(segments)))
    began = [fact for fact in (manifest.started, manifest.filmed_with) if fact is not None]
    note = signer.sign(manifest_lines(*began, *segments, end))
    save(directory / MANIFEST, note.encode())
    return end


def recover(home: Home, signer: Signer) -> list[str]:
    """Close the films that a power cut left open; returns their names. Raises NotPossible.

    What is sealed stays as it is. A place where not even the first line was written is cleared.
    """
    home.prepare(home.recordings)
    closed = []
    for directory in (home.recordings / name for name in names_in(home.recordings)):
        try:
            if read_manifest(directory).ended is None:
                end_film(directory, EndReason.POWER, None, signer)
                closed.append(directory.name)
        except BadFile as error:
            if any(name.endswith(".age") for name in names_in(directory)):
                # We write no such thing: only somebody who knows what happened may touch it.
                _errors.error("%s: %s", directory.name, error.sentence)
            else:
                shutil.rmtree(directory)
    return closed


def _tail(directory: Path, number: int) -> Tail | None:
    path = directory / segment_name(number)
    try:
        with open_plain(path) as file:
            digest = hashlib.file_digest(file, "sha256")
            return Tail(name=path.name, size=file.tell(), sha256=digest.hexdigest())
    except FileNotFoundError:
        return None
