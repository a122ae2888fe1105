"""Whether the end of a film's file is missing, where no length is stated that would tell.

What a browser or an app writes while it records says nowhere how long it will be. But each of its
pieces says how large it is, and the last one of a torn file is larger than what is left.
"""

from dataclasses import dataclass

from appliance.media.structure import MATROSKA
from appliance.media.transport import HEAD, is_torn_transport, packet_length
from appliance.media.wire import Source
from appliance.records.reading import ReadAt

_AT_ONCE = 1 << 16
_MOST = 5_000_000
"""Pieces that are looked at: more than a day of film has."""
_BOX, _HEAD_OF_PIECE = 8, b"moof"
"""Bytes of the head of a box (ISO/IEC 14496-12, 4.2), and the box that says what is in the `mdat`
behind it."""
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_LEVEL_1 = {
    *(_CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770),
    *(0x1254C367, _SEGMENT, 0x1A45DFA3, 0xEC, 0xBF),
}
"""What may stand in a Segment, and what begins the next recording (RFC 9559, 5.1)."""


def is_torn(source: Source, size: int) -> bool:
    """True if the last piece of a film of `size` bytes goes on behind its end."""
    found = _Pieces(source, size)
    if found.bytes_at(0, len(MATROSKA)) == MATROSKA:
        return _is_torn_matroska(found)
    if packet_length(found.bytes_at(0, HEAD)):
        return is_torn_transport(source, size)
    if _is_mp4(found):
        last = _last_box(found)
        return last.end > size or last.name == _HEAD_OF_PIECE
    return False


def readable(source: Source, size: int) -> tuple[Source, int]:
    """A film of `size` bytes as a reader takes it, and how many that are: of an MP4 in pieces that
    breaks off in the head of one, what is before. With half a head a reader takes none of it."""
    film = _Pieces(source, size)
    if _is_mp4(film):
        last = _last_box(film)
        if last.name == _HEAD_OF_PIECE or last.begin + _BOX > size:
            return _Beginning(source, last.begin), last.begin
    return source, size


class _Beginning(ReadAt):
    """The first `size` bytes of a film."""

    def __init__(self, source: Source, size: int) -> None:
        self._source, self.size = source, size

    def read_at(self, offset: int, length: int, /) -> bytes:
        self._source.seek(offset)
        return self._source.read(max(min(length, self.size - offset), 0)) or b""


class _Pieces:
    """Reads forwards, a good part at once."""

    def __init__(self, source: Source, size: int) -> None:
        self._source, self.size = source, size
        self._held, self._at = b"", 0

    def bytes_at(self, at: int, count: int) -> bytes:
        if not self._at <= at <= at + count <= self._at + len(self._held):
            self._source.seek(at)
            self._held, self._at = self._source.read(_AT_ONCE) or b"", at
        return self._held[at - self._at : at - self._at + count]


def _is_mp4(film: _Pieces) -> bool:
    return film.bytes_at(4, 4)[:1].isalpha()


@dataclass(frozen=True)
class _Box:
    """A box of the file's top level: from where to where it says that it goes."""

    name: bytes
    begin: int
    end: int


def _last_box(film: _Pieces) -> _Box:
    at = 0
    for _ in range(_MOST):
        head = film.bytes_at(at, 2 * _BOX)
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[_BOX:])
        elif length == 0 and len(head) >= _BOX:
            length = film.size - at  # It goes to the end, whatever that is.
        box = _Box(head[4:_BOX], at, at + max(length, _BOX))
        if box.end >= film.size:
            return box
        at = box.end
    return box


def _is_torn_matroska(film: _Pieces) -> bool:
    at, inside = 0, False
    for _ in range(_MOST):
        head = film.bytes_at(at, 12)
        if not head:
            return False
        name, after = _number(head, 0, whole=True)
        length, begin = _number(head, after, whole=False) if after else (0, 0)
        if not after or not begin:
            return True
        at += begin
        unknown = length == (1 << 7 * (begin - after)) - 1
        if name == _SEGMENT or (name == _CLUSTER and unknown):
            # Into it: a Segment's own length is the recorder's guess, if it is any.
            inside = name == _CLUSTER
            continue
        if unknown or (not inside and name not in _LEVEL_1):
            return False  # Nothing that is known; the decoder says what it is.
        at += length
        if at >= film.size:
            return at > film.size
    return False


def _number(data: bytes, at: int, whole: bool) -> tuple[int, int]:
    """A number of Matroska's and where it ends, 0 if it does not; `whole`: with the bits that say
    how long it is (RFC 8794, 4)."""
    first = data[at] if at < len(data) else 0
    length = 9 - first.bit_length()
    if not first or at + length > len(data):
        return 0, 0
    value = int.from_bytes(data[at : at + length])
    return value if whole else value & ((1 << 7 * length) - 1), at + length
