"""H.264 as it lies in an MP4: its parameter sets and its units (ISO/IEC 14496-10; 14496-15, 5).

Only what cutting needs: to take the units of a coded picture apart, to know a picture that nothing
before it is needed for, and to name two encoders' parameter sets in one sample description.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from appliance.errors import BadFile

_SLICE_OF_KEY, _MESSAGE, _SEQUENCE, _PICTURE, _SEQUENCE_EXTENSION, _SUBSET = 5, 6, 7, 8, 13, 15
_PARAMETERS = {_SEQUENCE, _PICTURE, _SEQUENCE_EXTENSION, _SUBSET}
_USER_DATA = {4, 5}
_WITH_CHROMA = {100, 110, 122, 144}
_EIGHT_BIT_420 = b"\xfd\xf8\xf8\x00"
"""What a record of these profiles says more: 4:2:0, eight bits twice, no extension."""
BASELINE, MAIN, HIGH = 66, 77, 100
_MOST_SETS = 31


@dataclass(frozen=True)
class Parameters:
    """The parameter sets of a stream: an `avcC`, without what it says of more than 8 bits 4:2:0."""

    profile: int
    compatibility: int
    level: int
    length_size: int
    """Bytes of the length in front of each unit."""
    sequence: tuple[bytes, ...]
    picture: tuple[bytes, ...]

    @classmethod
    def of_record(cls, data: bytes) -> "Parameters":
        """Read the body of an `avcC`. Raises BadFile."""
        try:
            version, profile, compatibility, level, lengths, count = data[:6]
            sequence, at = _sets(data, 6, count & 0x1F)
            picture, _ = _sets(data, at + 1, data[at])
        except (ValueError, IndexError) as error:
            raise BadFile("The parameters of this film's picture are cut short.") from error
        if version != 1 or not sequence or not picture:
            raise BadFile("The parameters of this film's picture are of a kind we do not know.")
        return cls(profile, compatibility, level, (lengths & 3) + 1, sequence, picture)

    @classmethod
    def of_encoder(cls, data: bytes, length_size: int) -> "Parameters":
        """Read what an encoder gives as its head: units between start codes. Raises BadFile."""
        units = list(units_between(data))
        sequence = tuple(unit for unit in units if _kind(unit) == _SEQUENCE)
        picture = tuple(unit for unit in units if _kind(unit) == _PICTURE)
        if not sequence or not picture or len(sequence[0]) < 4:
            raise BadFile("An encoder did not say what its pictures are like.")
        profile, compatibility, level = sequence[0][1:4]
        return cls(profile, compatibility, level, length_size, sequence, picture)

    def with_others(self, other: "Parameters") -> "Parameters":
        """Both streams' sets, for a film with pictures of both. They must not share a number."""
        return Parameters(
            self.profile,
            # A promise that both keep, and the level that is enough for both.
            self.compatibility & other.compatibility,
            max(self.level, other.level),
            self.length_size,
            self.sequence + other.sequence,
            self.picture + other.picture,
        )

    def record(self) -> bytes:
        """The body of an `avcC`."""
        head = (1, self.profile, self.compatibility, self.level, 0xFC | self.length_size - 1)
        parts = [bytes((*head, 0xE0 | len(self.sequence))), *map(_with_length, self.sequence)]
        parts += [bytes((len(self.picture),)), *map(_with_length, self.picture)]
        return b"".join(parts) + (_EIGHT_BIT_420 if self.profile in _WITH_CHROMA else b"")

    def free_number(self) -> int | None:
        """A number that no set here has, for the sets of another encoder; None if there is none."""
        taken = {_exp_golomb(unit, 4) for unit in self.sequence}
        taken |= {_exp_golomb(unit, 1) for unit in self.picture}
        if len(self.sequence) >= _MOST_SETS:
            return None
        return next((number for number in range(_MOST_SETS, -1, -1) if number not in taken), None)

    def units(self, data: bytes) -> list[bytes]:
        """The units of one coded picture. Raises BadFile."""
        found, at = [], 0
        while at < len(data):
            start = at + self.length_size
            at = start + int.from_bytes(data[at:start], "big")
            if not start < at <= len(data):
                raise BadFile("A picture of this film is not made as its head says.")
            found.append(data[start:at])
        return found

    def packed(self, units: list[bytes]) -> bytes:
        """One coded picture out of its units."""
        return b"".join(len(unit).to_bytes(self.length_size, "big") + unit for unit in units)

    def knows_all_of(self, units: list[bytes]) -> bool:
        """Whether no parameter set among `units` says what is not said here."""
        known = {*self.sequence, *self.picture}
        return all(unit in known for unit in units if _kind(unit) in _PARAMETERS)


def units_between(data: bytes) -> Iterator[bytes]:
    """The units of a stream with start codes."""
    for part in data.split(b"\0\0\1")[1:]:
        # A unit never ends in a zero: that one belongs to the next start code.
        unit = part.rstrip(b"\0")
        if unit:
            yield unit


def begins_anew(units: list[bytes]) -> bool:
    """Whether no picture before this one is needed for any that follows it (an IDR picture)."""
    return any(_kind(unit) == _SLICE_OF_KEY for unit in units)


def of_pictures(units: Iterable[bytes]) -> list[bytes]:
    """The units that are coded pictures and not parameters, messages or marks."""
    return [unit for unit in units if 1 <= _kind(unit) <= _SLICE_OF_KEY]


def without_user_data(units: list[bytes]) -> list[bytes]:
    """The units without messages of free content: devices and encoders sign, and more, in them."""
    return [unit for unit in units if _kind(unit) != _MESSAGE or not _USER_DATA & {*_told(unit)}]


def _told(unit: bytes) -> Iterator[int]:
    """The types of the messages in a unit of messages (14496-10, 7.3.2.3)."""
    data = unit[1:].replace(b"\0\0\3", b"\0\0").rstrip(b"\0")
    at = 0
    # The last byte holds the bit that ends them.
    while at < len(data) - 1:
        values = []
        for _ in range(2):
            value = 0
            while at < len(data) and data[at] == 0xFF:
                value, at = value + 0xFF, at + 1
            if at < len(data):
                value, at = value + data[at], at + 1
            values.append(value)
        yield values[0]
        at += values[1]


def _kind(unit: bytes) -> int:
    return unit[0] & 0x1F


def _sets(data: bytes, at: int, count: int) -> tuple[tuple[bytes, ...], int]:
    """`count` parameter sets with their lengths, and where they end. Raises IndexError."""
    found = []
    for _ in range(count):
        end = at + 2 + (data[at] << 8 | data[at + 1])
        if not at + 2 < end <= len(data):
            raise IndexError
        found.append(data[at + 2 : end])
        at = end
    return tuple(found), at


def _with_length(unit: bytes) -> bytes:
    return len(unit).to_bytes(2, "big") + unit


def _exp_golomb(unit: bytes, at: int) -> int:
    """The number that begins at byte `at` of a unit (14496-10, 9.1)."""
    bits = "".join(f"{byte:08b}" for byte in unit[at : at + 4].replace(b"\0\0\3", b"\0\0"))
    zeros = len(bits) - len(bits.lstrip("0"))
    return int(bits[zeros : 2 * zeros + 1] or "0", 2) - 1
