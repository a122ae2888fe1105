"""The process that decodes films, and the one that it is made from.

    python -m appliance.media.decoder FD

This one loads what decodes, and has no key and no film. For each piece of work that comes over its
socket it forks a process that is confined for good before it asks for the first byte
(`appliance.media.sandbox`), works on that one film, and ends: a film can only take over a process
that has seen nothing else. It ends when nobody asked for a while, or when whoever started it
(`appliance.media.apart`) has gone.
"""

import contextlib
import importlib
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction

import av

from appliance.errors import KitError
from appliance.media import cutting, stills
from appliance.media.sandbox import NoSandbox, confine
from appliance.media.transcoding import transcode
from appliance.media.wire import (
    ASKED,
    HEAD,
    PIECE,
    SHOWN,
    SO_FAR,
    FilmPipe,
    FilmRefusal,
    Kind,
    Source,
    Wire,
    coded,
    refusal,
)
from appliance.records.reading import ReadAt

_IDLE = 90.0
"""Seconds after which the memory is worth more than the half second that starting takes."""
_LOUD_AT_ONCE = 64


class Connection:
    """The one way out of a confined process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def ask(self, offset: int, length: int) -> bytes:
        self.send(Kind.ASK, ASKED.pack(offset, length))
        data = bytearray()
        while len(data) < length:
            piece = os.read(self._descriptor, length - len(data))
            if not piece:
                os._exit(1)  # Nobody is there any more.
            data += piece
        return bytes(data)

    def send(self, kind: bytes, data: bytes) -> None:
        left = memoryview(HEAD.pack(kind, len(data)) + data)
        while left:
            left = left[os.write(self._descriptor, left) :]


class Remote(ReadAt):
    """The film at the other end, as libav reads it."""

    def __init__(self, wire: Wire, size: int) -> None:
        self._wire, self.size = wire, size

    def read_at(self, offset: int, length: int, /) -> bytes:
        wanted = min(length, self.size - offset, PIECE)
        return self._wire.ask(offset, wanted) if wanted > 0 else b""


def _film(source: "Remote", wire: Wire, longest: str) -> None:
    transcode(source, source.size, wire, Fraction(longest))


def _clip(source: Source, wire: Wire, start: str, end: str) -> None:
    def so_far(done: float) -> None:
        wire.send(Kind.DONE_SO_FAR, SO_FAR.pack(done))

    out = FilmPipe(wire)
    done = cutting.cut(source, Fraction(start), Fraction(end), out, so_far)
    out.flush()
    wire.send(Kind.CUT, done.packed())


def _still(source: Source, wire: Wire, at: str) -> None:
    picture = io.BytesIO()
    appeared = stills.still(source, Fraction(at), picture)
    wire.send(Kind.PICTURE, SHOWN.pack(*appeared.as_integer_ratio()) + picture.getvalue())


def _strip(source: Source, wire: Wire, count: str, height: str) -> None:
    for second, picture in stills.filmstrip(source, int(count), int(height)):
        wire.send(Kind.PICTURE, SHOWN.pack(*second.as_integer_ratio()) + picture)


def _peaks(source: Source, wire: Wire, count: str) -> None:
    held = bytearray()
    for peak in stills.peaks(source, int(count)):
        held.append(round(255 * peak))
        if len(held) == _LOUD_AT_ONCE:
            wire.send(Kind.LOUD, bytes(held))
            held.clear()
    wire.send(Kind.LOUD, bytes(held))


WORK: dict[str, Callable[..., None]] = {
    "film": _film,
    "clip": _clip,
    "still": _still,
    "strip": _strip,
    "peaks": _peaks,
}


def work(descriptor: int, memory: int, seconds: int, size: int, what: str, *words: str) -> None:
    """Confine this process for good, and do one piece of work on one film."""
    wire = Connection(descriptor)
    if what not in ("clip", "still"):
        # Nobody waits for these at every moment, and a film that is being made comes first.
        with contextlib.suppress(OSError):
            os.nice(10)
    try:
        confine(descriptor, memory, seconds)
    except NoSandbox:
        wire.send(Kind.REFUSED, coded(refusal(FilmRefusal.NOT_APART)))
        return
    try:
        WORK[what](Remote(wire, size), wire, *words)
    except MemoryError:
        wire.send(Kind.REFUSED, coded(refusal(FilmRefusal.TOO_MUCH)))
    except KitError as error:
        wire.send(Kind.REFUSED, coded(error))
    except (av.error.FFmpegError, ValueError, LookupError, ArithmeticError):
        wire.send(Kind.REFUSED, coded(refusal(FilmRefusal.BROKEN)))
    else:
        wire.send(Kind.DONE, b"")


def serve(control: socket.socket) -> None:
    """Make a process for each piece of work, until nobody asks any more.

    The answer is a hold on that process (pidfd_open(2)), for whoever asked to end it with.
    """
    control.settimeout(_IDLE)
    while True:
        try:
            asked, descriptors, _, _ = socket.recv_fds(control, 1 << 12, 1)
        except TimeoutError:
            if _all_ended():
                return
            continue
        if not asked:
            return
        (descriptor,) = descriptors
        pid = os.fork()
        if not pid:
            # Whatever happens, this process comes back to nothing that belongs to the other.
            with contextlib.suppress(BaseException):
                control.close()
                memory, seconds, size, what, *words = json.loads(asked)
                work(descriptor, memory, seconds, size, what, *words)
            os._exit(0)
        hold = os.pidfd_open(pid)
        socket.send_fds(control, [b"\1"], [hold])
        os.close(hold)
        os.close(descriptor)
        _all_ended()


def _all_ended() -> bool:
    """Let go of the processes that have ended; whether none is at work."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def main(arguments: Sequence[str]) -> int:
    # Who wants this to end closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    av.logging.set_level(None)
    # What the library fetches when it first needs it has to be here before; what, changes.
    importlib.import_module("av.subtitles.stream")
    with contextlib.suppress(ImportError):
        importlib.import_module("av.data.stream")
        importlib.import_module("av.attachments.stream")
    with socket.socket(fileno=int(arguments[0])) as control:
        serve(control)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
