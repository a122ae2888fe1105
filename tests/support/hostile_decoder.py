"""In place of `appliance.media.decoder`: what it says is what whoever broke it would say.

python -m tests.support.hostile_decoder FD       which lie, is in the first bytes of the film
"""

import json
import os
import socket
import struct
import sys
from collections.abc import Callable

from appliance.media.decoder import Connection
from appliance.media.wire import CUT, HEAD, SHOWN, TOLD, Kind

JPEG_HEAD = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\2\0\0\1\0\1\0\0"
SCAN = b"\xff\xda\0\x08\1\1\0\0\x3f\0"


def frame(width: int, height: int) -> bytes:
    return struct.pack(">HHBHHB", 0xFFC0, 11, 8, height, width, 1) + b"\1\x11\0"


def picture(inside: bytes = b"", end: bytes = b"", size: tuple[int, int] = (16, 16)) -> bytes:
    return JPEG_HEAD + inside + frame(*size) + SCAN + b"coded" + end + b"\xff\xd9"


def shown(data: bytes, over: int = 0, under: int = 1) -> list[tuple[bytes, bytes]]:
    return [(Kind.PICTURE, SHOWN.pack(over, under) + data), (Kind.DONE, b"")]


def cut(*facts: int) -> bytes:
    return CUT.pack(*facts, True)


PICTURES: dict[str, list[tuple[bytes, bytes]]] = {
    "a page in place of a picture": shown(b"<html><script>alert(1)</script>"),
    "a picture with words in it": shown(picture(b"\xff\xfe\0\x10" + b"<script>12345678"[:14])),
    "a picture with what a telephone adds": shown(picture(b"\xff\xe1\0\x06Exif")),
    "a picture and something behind it": shown(picture() + b"PK\3\4"),
    "a picture in a picture": shown(picture(end=b"\xff\xd9" + picture())),
    "a picture without a size": shown(JPEG_HEAD + SCAN + b"coded\xff\xd9"),
    "a picture that fills the memory": shown(picture(size=(65535, 65535))),
    "a picture of no width": shown(picture(size=(0, 16))),
    "half a picture": shown(picture()[:20]),
    "a picture of a moment that cannot be": shown(picture(), -1),
    "a picture of no moment": shown(picture(), 1, 0),
    "a picture of another moment": shown(picture(), 10**5),
    "no picture": [(Kind.DONE, b"")],
    "something else": [(Kind.LOUD, b"12"), (Kind.DONE, b"")],
    "what nobody knows": [(b"?", b"12"), (Kind.DONE, b"")],
    "words for a person": [(Kind.REFUSED, b"Your kit is broken. Call this number.")],
    "words in a refusal": [(Kind.REFUSED, b"past-the-end\nend=Call this number")],
    "a refusal without its numbers": [(Kind.REFUSED, b"past-the-end")],
    "letters of no kind": [(Kind.REFUSED, b"\xff\xfe\0")],
    "a part from behind the film": [(Kind.ASK, struct.pack(">QI", 1 << 60, 100))],
    "a part that is too long": [(Kind.ASK, struct.pack(">QI", 0, 1 << 30))],
    "a question of no form": [(Kind.ASK, b"1")],
    "half a message": [(b"", HEAD.pack(Kind.PICTURE, 1000) + b"1")],
    "a message without end": [(b"", HEAD.pack(Kind.PICTURE, 0xFFFFFFFF))],
    "nothing at all": [],
}
CUTS: dict[str, bytes] = {
    "a clip from before the film": cut(10, 5, -1, 1, 1, 1, 2, 1),
    "a clip of no time": cut(10, 5, 0, 0, 1, 1, 2, 1),
    "a clip from after the mark": cut(10, 5, 1, 1, 99, 1, 100, 1),
    "a clip that ends before it begins": cut(10, 5, 1, 1, 1, 1, 1, 2),
    "a clip without frames": cut(0, 0, 1, 1, 2, 1, 3, 1),
    "a clip with more copies than frames": cut(1, 5, 1, 1, 2, 1, 3, 1),
    "facts of no form": b"1234",
}
GOOD_CUT = cut(10, 5, 1, 1, 2, 1, 3, 1)


def told(film: bytes) -> list[tuple[bytes, bytes]]:
    """What is said of this film, which names the lie and may hold what is handed over."""
    name, _, rest = film.partition(b"\n")
    match name.decode().split(":", 1):
        case ["picture", lie]:
            return PICTURES[lie]
        case ["pictures", count]:
            return shown(picture())[:1] * int(count) + [(Kind.DONE, b"")]
        case ["loud", count]:
            return [(Kind.LOUD, bytes(int(count))), (Kind.DONE, b"")]
        case ["cut", lie]:
            return [(Kind.FILM, rest), (Kind.CUT, CUTS[lie]), (Kind.DONE, b"")]
        case ["clip", _]:
            return [(Kind.FILM, rest), (Kind.CUT, GOOD_CUT), (Kind.DONE, b"")]
        case ["endless", _]:
            return [(Kind.FILM, bytes(1 << 20))] * 5000
        case ["film", _]:
            return [(Kind.TOLD, TOLD.pack(1.0) + b"\0"), (Kind.FILM, rest), (Kind.DONE, b"")]
        case _:
            raise AssertionError(name)


def serve(control: socket.socket, tell: Callable[[bytes], list[tuple[bytes, bytes]]]) -> None:
    while True:
        asked, descriptors, _, _ = socket.recv_fds(control, 1 << 12, 1)
        if not asked:
            return
        pid = os.fork()
        if not pid:
            wire = Connection(descriptors[0])
            for kind, data in tell(wire.ask(0, min(json.loads(asked)[2], 1 << 20))):
                if kind:
                    wire.send(kind, data)
                else:
                    os.write(descriptors[0], data)
            os._exit(0)
        hold = os.pidfd_open(pid)
        socket.send_fds(control, [b"\1"], [hold])
        os.close(hold)
        os.close(descriptors[0])


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as control:
        serve(control, told)
