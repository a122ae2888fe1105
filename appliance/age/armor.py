"""age's strict text form of a sealed file, and the bytes inside it."""

import base64
import binascii
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from appliance.errors import BadArmor

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_COLUMNS = 64
_SPACE = b" \t\r\n"
_SPACE_LIMIT = 1024
_ARMOR_BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_ARMOR_END = b"-----END AGE ENCRYPTED FILE-----"


def dearmored(file: io.BufferedIOBase) -> io.BufferedReader:
    """The bytes inside age's strict text form. Reading raises BadArmor where it is broken."""
    return io.BufferedReader(_Dearmored(file))


class _Dearmored(io.RawIOBase):
    def __init__(self, file: io.BufferedIOBase) -> None:
        self._blocks = _armor_blocks(file)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        if not self._rest:
            self._rest = next(self._blocks, b"")
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _armor_blocks(file: io.BufferedIOBase) -> Iterator[bytes]:
    skipped = 0
    line = b""
    while not line:
        raw = file.readline(_SPACE_LIMIT)
        skipped += len(raw)
        line = raw.lstrip(_SPACE)
        if not raw or skipped > _SPACE_LIMIT:
            raise _bad_armor("it has no first line")
    if _without_end(line) != _ARMOR_BEGIN:
        raise _bad_armor("its first line is not the one it should be")
    short = False
    while (line := _without_end(file.readline(_COLUMNS + 3))) != _ARMOR_END:
        block = _armored_line(line)
        if short or not block:
            raise _bad_armor("a line is too short, or the last line is missing")
        short = len(line) < _COLUMNS or line.endswith(b"=")
        yield block
    if file.read(_SPACE_LIMIT).strip(_SPACE) or file.read(1):
        raise _bad_armor("something stands behind its last line")


def _armored_line(line: bytes) -> bytes:
    try:
        block = base64.b64decode(line, validate=True)
    except binascii.Error:
        block = b""
    if len(line) > _COLUMNS or base64.b64encode(block) != line:
        raise _bad_armor("a line is not in its one spelling of base64")
    return block


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


def _bad_armor(why: str) -> BadArmor:
    return BadArmor(
        "The text form of this sealed file is broken: %(why)s.",
        "Copy it again from where it came from, whole and unchanged.",
        why=why,
    )
