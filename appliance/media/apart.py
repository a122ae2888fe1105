"""Films decoded in a process set apart: what whoever holds the keys calls in place of a decoder.

Nothing here loads libav. Every film, our own too, is decoded by a process that can only compute and
speak over one connection (`appliance.media.decoder`, `appliance.media.sandbox`): films of others
may be hostile, and so may what a decoder made of them. It gets the bytes that it asks for, of that
one film. What it makes is held against limits and, strictly, against the form that ours has
(`appliance.media.structure`).
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import IO

from appliance.errors import BadFile, KitError
from appliance.media import structure
from appliance.media.wire import (
    ASKED,
    CUT,
    HEAD,
    PIECE,
    SHOWN,
    SO_FAR,
    TOLD,
    Cut,
    FilmNote,
    FilmRefusal,
    Kind,
    decoded,
    refusal,
)
from appliance.records.reading import Readable

_READ = 0.05
"""How much of the work of making a film reading it through is."""
_MOST_NOTES = 10
FASTEST = 3 << 20
"""Bytes a second of film that our encoder never reaches."""
_LOOK = 1.0
"""Seconds between looks at whether the work is still wanted."""
_LARGEST_PICTURE = 16 << 20
_SMALL_PICTURE = 1 << 18


@dataclass(frozen=True)
class Limits:
    """What a process that decodes may use: bytes, seconds of the processor a second of film (or of
    a clip), and seconds that it may say nothing."""

    memory: int = 5 << 28
    processor: int = 30
    silence: float = 120.0


LIMITS = Limits()
_LOOKING = 1800
"""Seconds of the processor for looking through a film of any length, or at one picture of it."""


@dataclass(frozen=True)
class Came:
    """What is known of a film that was made of another."""

    sound: bool
    notes: Sequence[KitError]
    """What a person should know of it (`FilmNote`)."""


class PlainFile:
    """A film in a plain file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)

    def read_at(self, offset: int, length: int, /) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)


class Apart:
    """Starts what decodes. Any thread; several films at once are several processes."""

    def __init__(self, limits: Limits = LIMITS, program: str = "appliance.media.decoder") -> None:
        """Nothing is started before it is needed."""
        self._limits, self._program = limits, program
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._end: Callable[[], object] = lambda: None

    def close(self) -> None:
        """End the process that the others are made from. Safe to call twice."""
        with self._lock:
            self._end()
            self._control = None

    def film(
        self,
        original: Readable,
        longest: int,
        take: Callable[[bytes], float],
        progress: Callable[[float], None],
    ) -> Came:
        """Make a film of others into one like ours of at most `longest` seconds, and hand it to
        `take`, which says how many seconds there are.

        `progress` is told at least each second how far the work is. Raises BadFile, NotPossible,
        and what `original`, `take` and `progress` raise.
        """
        said, sound, seconds, made, read = 0.0, False, 0.0, 0, 0
        notes: list[KitError] = []

        def come() -> None:
            # First it is read through, then it is made.
            done = seconds / said if said else 0.0
            progress(min(_READ * read / original.size + (1 - _READ) * done, 0.99))

        processor = self._limits.processor * longest
        with self._at(original, processor, "film", longest) as talk:
            for kind, data in talk.said(come):
                if kind == Kind.FILM:
                    made += len(data)
                    seconds = take(data)
                    if seconds > longest + 1 or made > FASTEST * (longest + 1):
                        raise refusal(FilmRefusal.NOT_MADE)
                elif kind == Kind.TOLD and len(data) == TOLD.size + 1:
                    (told,) = TOLD.unpack(data[:-1])
                    said = told if 0 < told < longest + 1 else 0.0
                    sound = data[-1:] == b"\1"
                elif kind == Kind.NOTE and len(notes) < _MOST_NOTES:
                    notes.append(decoded(data, FilmNote))
                elif kind != Kind.ASK:
                    raise refusal(FilmRefusal.NOT_MADE)
                read = talk.read
                come()
        return Came(sound, notes)

    def cut(
        self,
        film: Readable,
        start: Fraction,
        end: Fraction,
        progress: Callable[[float], None] = lambda done: None,
    ) -> tuple[Cut, bytes]:
        """An exact clip of a film and what went into it: see `appliance.media.cutting`.

        What `progress` raises ends the work. Raises BadInput, BadFile, NotPossible, and what
        reading the film raises.
        """
        lasts = max(int(end - start), 0) + 2
        clip, cut, done = bytearray(), None, 0.0

        def so_far() -> None:
            progress(done)

        processor = _LOOKING + self._limits.processor * lasts
        with self._at(film, processor, "clip", start, end) as talk:
            for kind, data in talk.said(so_far):
                if kind == Kind.FILM and len(clip) + len(data) <= _most(lasts, film):
                    clip += data
                elif kind == Kind.DONE_SO_FAR and len(data) == SO_FAR.size:
                    (told,) = SO_FAR.unpack(data)
                    done = max(done, told if 0 <= told <= 1 else 0.0)
                    so_far()
                elif kind == Kind.CUT and cut is None:
                    cut = _cut(data, start, end)
                elif kind != Kind.ASK:
                    raise refusal(FilmRefusal.NOT_MADE)
        if cut is None:
            raise refusal(FilmRefusal.NOT_MADE)
        _held(structure.check_clip, bytes(clip))
        return cut, bytes(clip)

    def still(self, film: Readable, at: Fraction) -> tuple[bytes, Fraction]:
        """The frame that is seen at `at` seconds as a JPEG, and when it appeared. Raises as `cut`,
        and BadInput if there is none."""
        pictures = self._pictures(film, _LARGEST_PICTURE, "still", at)
        with contextlib.closing(pictures):
            for appeared, picture in pictures:
                if appeared > at + 1:
                    break
                return picture, appeared
        raise refusal(FilmRefusal.NOT_MADE)

    def filmstrip(
        self, film: Readable, count: int, height: int
    ) -> Iterator[tuple[Fraction, bytes]]:
        """`count` small JPEGs and the seconds that they show: see `appliance.media.stills`. Raises
        as `cut`; whoever wants no more closes it."""
        pictures = self._pictures(film, _SMALL_PICTURE, "strip", count, height)
        with contextlib.closing(pictures):
            for number, (second, picture) in enumerate(pictures):
                if number >= count or structure.size_of_jpeg(picture)[1] != height:
                    raise refusal(FilmRefusal.NOT_MADE)
                yield second, picture

    def peaks(self, film: Readable, count: int) -> Iterator[int]:
        """How loud each of `count` equal parts of a film is, 0 to 255; nothing of a film without
        sound. Raises as `cut`; whoever wants no more closes it."""
        given = 0
        with self._at(film, _LOOKING, "peaks", count) as talk:
            for kind, data in talk.said():
                if kind == Kind.LOUD and given + len(data) <= count:
                    given += len(data)
                    yield from data
                elif kind != Kind.ASK:
                    raise refusal(FilmRefusal.NOT_MADE)

    def _pictures(
        self, film: Readable, largest: int, what: str, *words: object
    ) -> Generator[tuple[Fraction, bytes], None, None]:
        before = Fraction(0)
        with self._at(film, _LOOKING, what, *words) as talk:
            for kind, data in talk.said():
                if kind == Kind.PICTURE and SHOWN.size < len(data) <= largest:
                    second = _moment(*SHOWN.unpack_from(data))
                    if second < before:
                        raise refusal(FilmRefusal.NOT_MADE)
                    before, picture = second, data[SHOWN.size :]
                    _held(structure.size_of_jpeg, picture)
                    yield second, picture
                elif kind != Kind.ASK:
                    raise refusal(FilmRefusal.NOT_MADE)

    @contextlib.contextmanager
    def _at(self, film: Readable, processor: int, what: str, *words: object) -> Iterator["_Talk"]:
        """A process at work on a film, for as long as it is needed and no longer."""
        film.read_at(0, 0)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                asked = [self._limits.memory, processor, film.size, what, *map(str, words)]
                hold = self._begun(json.dumps(asked).encode(), theirs)
            try:
                yield _Talk(ours, film, self._limits, processor)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(hold, signal.SIGKILL)
                # Nothing of the film is left in any memory when this returns.
                select.select([hold], [], [], 5)
                os.close(hold)

    def _begun(self, asked: bytes, theirs: socket.socket) -> int:
        """Have a process made for a piece of work; a hold on it."""
        with self._lock:
            for _ in range(2):
                if self._control is None:
                    self._control = self._start()
                with contextlib.suppress(OSError):
                    socket.send_fds(self._control, [asked], [theirs.fileno()])
                    said, holds, _flags, _from = socket.recv_fds(self._control, 1, 1)
                    if said and holds:
                        return holds[0]
                # It ended, for nobody had asked for a while.
                self._end()
                self._control = None
        raise refusal(FilmRefusal.NOT_APART)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", self._program, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # What a library says of a film may be words of a family.
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Each thread would reserve memory of its own.
                env={"MALLOC_ARENA_MAX": "2", "PYTHONDONTWRITEBYTECODE": "1"},
            )
        # Loading takes a second on a small computer, and may take many on a busy one.
        ours.settimeout(self._limits.silence)
        self._end = weakref.finalize(self, _ended, ours, process)
        return ours


def _ended(control: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    control.close()
    process.kill()
    process.wait()


class _Talk:
    """What goes to and fro with one process, and what is let through from it."""

    def __init__(
        self, connection: socket.socket, film: Readable, limits: Limits, seconds: int
    ) -> None:
        self._connection, self._film, self._limits = connection, film, limits
        self._until = time.monotonic() + seconds
        self.read = 0
        """How far into the film it has read."""

    def said(self, come: Callable[[], None] = lambda: None) -> Iterator[tuple[bytes, bytes]]:
        """Each message until it is done; what it asks for is answered. `come` is called while
        nothing comes. Raises BadFile, BadInput, NotPossible, and what reading the film raises."""
        self._connection.settimeout(_LOOK)
        while True:
            kind, length = HEAD.unpack(self._received(HEAD.size, come))
            if length > (_LARGEST_PICTURE if kind == Kind.PICTURE else PIECE):
                raise refusal(FilmRefusal.NOT_MADE)
            data = self._received(length, come)
            if kind == Kind.ASK and length == ASKED.size:
                self._answer(*ASKED.unpack(data))
            elif kind == Kind.REFUSED:
                raise decoded(data)
            elif kind == Kind.DONE:
                return
            elif kind == Kind.ASK:
                raise refusal(FilmRefusal.NOT_MADE)
            yield kind, data

    def _answer(self, offset: int, wanted: int) -> None:
        piece = self._film.read_at(offset, min(wanted, PIECE))
        if len(piece) != wanted:
            raise refusal(FilmRefusal.NOT_MADE)
        self.read = max(self.read, offset + wanted)
        try:
            self._connection.settimeout(self._limits.silence)
            self._connection.sendall(piece)
        except (TimeoutError, ConnectionError):
            raise refusal(FilmRefusal.TOO_MUCH) from None
        finally:
            self._connection.settimeout(_LOOK)

    def _received(self, length: int, come: Callable[[], None]) -> bytes:
        data = bytearray()
        silent_since = time.monotonic()
        while len(data) < length:
            try:
                piece = self._connection.recv(length - len(data))
            except TimeoutError:
                now = time.monotonic()
                if now - silent_since > self._limits.silence or now > self._until:
                    raise refusal(FilmRefusal.TOO_MUCH) from None
                come()
                continue
            except ConnectionError:
                piece = b""
            if not piece:
                # It was ended: by a limit, or by what it was given to read.
                raise refusal(FilmRefusal.TOO_MUCH)
            data += piece
            silent_since = time.monotonic()
        return bytes(data)


def _most(seconds: int, film: Readable) -> int:
    """Bytes that a clip may have: of a film that was made richly, no more than it has itself."""
    return max(FASTEST * seconds, min(film.size, 1 << 29))


def _moment(over: int, under: int) -> Fraction:
    if not (under > 0 and 0 <= over < under * 10**6):
        raise refusal(FilmRefusal.NOT_MADE)
    return Fraction(over, under)


def _cut(data: bytes, start: Fraction, end: Fraction) -> Cut:
    if len(data) != CUT.size:
        raise refusal(FilmRefusal.NOT_MADE)
    frames, copied, *moments, sound = CUT.unpack(data)
    first, last, gone = (_moment(*moments[at : at + 2]) for at in (0, 2, 4))
    # A mark is moved to the film's own tick, or to the picture that it was read from.
    if not (start - 1 <= first <= last < gone <= end + 1 and copied <= frames > 0):
        raise refusal(FilmRefusal.NOT_MADE)
    return Cut(frames, copied, first, last, gone, sound)


def _held(check: Callable[[bytes], object], data: bytes) -> None:
    try:
        check(data)
    except BadFile as error:
        raise refusal(FilmRefusal.NOT_MADE) from error
