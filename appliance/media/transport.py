"""Transport streams (MPEG-TS, ISO/IEC 13818-1), as camcorders write them: `.mts`, `.m2ts`, `.ts`.

Packets of 188 bytes, each begun by the same byte; camcorders put the time of arrival, four bytes,
before each. `check_transport` stands before libav, as `structure.check_film` does for other films.
A stream states no length: whether its end is missing is seen by its last packet and its last piece
of sound, each of which says how long it is.
"""

from collections.abc import Iterator

from appliance.errors import BadFile
from appliance.media.structure import NotKnown, bytes_at
from appliance.media.wire import Source

_SYNC = 0x47
_PACKET, _WITH_TIME = 188, 192
_SEEN = 8
HEAD = _WITH_TIME * _SEEN
"""Bytes by which a stream is known."""
_LOOKED_AT = 1 << 20
"""Bytes of the beginning in which its table must stand, and of the end that are looked at."""
_MOST_PROGRAMMES = 64
_TABLE = 0
"""The PID on which it stands which programmes there are."""


def packet_length(head: bytes) -> int:
    """Bytes from packet to packet of a stream that begins so; 0 of what is none. One packet of the
    first ones may be damaged."""
    for each in (_PACKET, _WITH_TIME):
        marks = head[each - _PACKET : each * _SEEN : each]
        if len(marks) > 1 and marks.count(_SYNC) >= max(len(marks) - 1, 2):
            return each
    return 0


def check_transport(source: Source, size: int) -> None:
    """Raises NotKnown, or BadFile for a stream that says of itself what cannot be."""
    begin = bytes_at(source, 0, min(size, _LOOKED_AT))
    each = packet_length(begin)
    if not each:
        raise NotKnown("This is no transport stream.")
    whole, marked = len(begin) // each, begin[each - _PACKET :: each].count(_SYNC)
    if marked < whole * 9 // 10:
        raise BadFile("Too many packets of this stream do not begin as they should.")
    for pid, starts, payload in _packets(begin, each):
        if pid == _TABLE and starts and payload:
            programmes = _programmes(payload[1 + payload[0] :])
            if programmes > _MOST_PROGRAMMES:
                raise BadFile("This stream has more programmes than any.")
            if programmes:
                return
    raise NotKnown("This stream does not say what is in it.")


def is_torn_transport(source: Source, size: int) -> bool:
    """True if its last packet, or its last piece of sound, goes on behind its end."""
    each = packet_length(bytes_at(source, 0, HEAD))
    if not each or size % each:
        return bool(each)
    at = max(0, size - _LOOKED_AT) // each * each
    missing: dict[int, int] = {}
    for pid, starts, payload in _packets(bytes_at(source, at, size - at), each):
        if starts:
            missing[pid] = _length_of_piece(payload)
        if pid in missing:
            missing[pid] -= len(payload)
    return any(left > 0 for left in missing.values())


def _length_of_piece(payload: bytes) -> int:
    """Bytes of a piece of a track (PES packet), with its head; 0 if it does not say: of pictures
    it need not, and what is in a table is no piece."""
    if len(payload) < 6 or payload[:3] != b"\0\0\1":
        return 0
    length = int.from_bytes(payload[4:6])
    return length + 6 if length else 0


def _programmes(table: bytes) -> int:
    """How many programmes a table lists (PAT, 2.4.4.3)."""
    if len(table) < 8 or table[0]:
        return 0
    end = 3 + (int.from_bytes(table[1:3]) & 0x3FF) - 4
    rows = (table[at : at + 4] for at in range(8, min(end, len(table)) - 3, 4))
    return sum(int.from_bytes(row[:2]) != 0 for row in rows)


def _packets(data: bytes, each: int) -> Iterator[tuple[int, bool, bytes]]:
    """Of each packet that begins as one: its PID, whether a piece begins in it, and what it
    carries (2.4.3.2)."""
    for at in range(each - _PACKET, len(data) - _PACKET + 1, each):
        packet = data[at : at + _PACKET]
        if packet[0] != _SYNC:
            continue
        pid = int.from_bytes(packet[1:3]) & 0x1FFF
        begin = 4
        if packet[3] & 0x20:
            begin += 1 + packet[4]
        payload = packet[begin:] if packet[3] & 0x10 else b""
        yield pid, bool(packet[1] & 0x40), payload
