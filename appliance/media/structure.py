"""Strict looks at what a decoder is to be given, and at what came back from one.

`check_film` stands before libav when a film of others is read, and reads no more than its heads:
boxes that lie within each other and nowhere else, tables no longer than the box they stand in, and
not a word of other files. Odd is not wrong: boxes that are not known are left to themselves, and so
are brands. Of Matroska and WebM only the first element is looked at.

`check_clip`, `check_init` and `size_of_jpeg` hold what a decoder made, which a hostile film may
have dictated, before it is kept or shown to a browser: only the boxes that ours have, only
H.264 and AAC, samples that lie in the film, a baseline JPEG and nothing beside it.
"""

import struct
from collections.abc import Mapping, Sequence

from appliance.errors import BadFile
from appliance.media.wire import Source


class NotKnown(BadFile):
    """Neither MP4 nor MOV, Matroska or WebM."""


class Headless(NotKnown):
    """It begins as MP4 does, and has no head: it was never written, or lay where it was cut off."""


MATROSKA = b"\x1a\x45\xdf\xa3"
"""How a film of that kind begins."""
_FIRST = (
    *(b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"),
    *(b"uuid", b"moof", b"styp", b"sidx", b"udta", b"meta", b"junk", b"pict", b"PICT", b"prfl"),
)
"""What a film of this family may begin with; old cameras wrote no ftyp."""
_HOLDS: Mapping[bytes, tuple[bytes, ...]] = {
    b"": (b"moov", b"moof", b"mdat"),
    b"moov": (b"mvhd", b"trak", b"mvex"),
    b"trak": (b"tkhd", b"edts", b"mdia"),
    b"edts": (b"elst",),
    b"mdia": (b"mdhd", b"minf"),
    b"minf": (b"dinf", b"stbl"),
    b"dinf": (b"dref",),
    b"stbl": (b"stsd", b"stts", b"ctts", b"stsc", b"stsz", b"stss", b"stco", b"co64"),
    b"mvex": (b"trex",),
    b"moof": (b"traf",),
    b"traf": (b"tfhd", b"tfdt", b"trun"),
}
_LIES_IN = {name: parent for parent, names in _HOLDS.items() for name in names}
"""Where a box belongs; whoever puts one elsewhere means to puzzle somebody."""
_ROWS: Mapping[bytes, int] = {
    b"stts": 8,
    b"ctts": 8,
    b"stsc": 12,
    b"stss": 4,
    b"stco": 4,
    b"co64": 8,
}
_LEADS_ELSEWHERE = (b"cmov", b"rmra")
"""Heads that are packed, and films that only name others: nobody has made them for twenty years."""
_MOST_BOXES, _MOST_TRACKS, _MOST_HEAD = 200_000, 64, 128 << 20
_AT_ONCE = 1 << 16

_OURS = {
    **{name: parent for name, parent in _LIES_IN.items() if parent not in (b"moof", b"traf")},
    b"ftyp": b"",
    b"hdlr": b"mdia",
    b"vmhd": b"minf",
    b"smhd": b"minf",
}
_ENTRIES: Mapping[bytes, tuple[int, tuple[bytes, ...]]] = {
    b"avc1": (78, (b"avcC", b"colr", b"pasp", b"btrt")),
    b"mp4a": (28, (b"esds", b"btrt")),
}
"""What may stand in an entry of our films, and behind how many bytes."""
_LONGEST_SIDE = 8192
_MOST_POINTS = 36 << 20


def check_film(source: Source, size: int) -> Sequence[str]:
    """How an MP4 says that its tracks are coded, in four letters each; nothing of other films.
    Raises NotKnown, or BadFile for a film that says of itself what cannot be."""
    head = bytes_at(source, 0, 64)
    if head.startswith(MATROSKA):
        if b"webm" not in head and b"matroska" not in head:
            raise NotKnown("This is not Matroska or WebM.")
        return []
    if head[4:8] not in _FIRST:
        raise NotKnown("This does not begin as a film does.")
    at = count = 0
    seen = False
    coded: list[str] = []
    held, held_at = b"", 0
    while at + 8 <= size:
        if not held_at <= at <= held_at + len(held) - 16:
            held, held_at = bytes_at(source, at, min(_AT_ONCE, size - at)), at
        name, header, length = _header(held, at - held_at, size - at)
        if name in (b"moov", b"moof"):
            if at + length > size:
                raise Headless("The head of this film is not all there.")
            if length > _MOST_HEAD:
                raise BadFile("The head of this film does not fit into it.")
            heads = _Heads(bytes_at(source, at + header, length - header))
            heads.look(name)
            coded = coded or heads.coded
            seen = seen or name == b"moov"
        elif not name.isascii() and not count:
            raise NotKnown("This does not begin as a film does.")
        count += 1
        if count > _MOST_BOXES:
            raise BadFile("This film has more boxes than any.")
        at += length
    if not seen:
        raise Headless("There is no head in this film.")
    return coded


def check_clip(data: bytes) -> None:
    """Raises BadFile unless it is a whole film as `boxes.plain_film` makes them."""
    samples = _Ours(data).look_whole((b"ftyp", b"moov", b"mdat"))
    if not samples:
        raise BadFile("There is no sample in this film.")


def check_init(data: bytes) -> None:
    """Raises BadFile unless it is the head of a film of fragments as ours are."""
    if _Ours(data).look_whole((b"ftyp", b"moov")):
        raise BadFile("A head of ours has no samples.")


def size_of_jpeg(data: bytes) -> tuple[int, int]:
    """Width and height of a baseline JPEG. Raises BadFile for anything else, and for one that has
    anything beside the picture in it."""
    size, at = (0, 0), 2
    if data[:2] != b"\xff\xd8" or data[-2:] != b"\xff\xd9":
        raise BadFile("This is not a JPEG.")
    while True:
        if at + 4 > len(data) or data[at] != 0xFF:
            raise BadFile("A JPEG is cut short.")
        (marker, length) = struct.unpack_from(">xBH", data, at)
        end = at + 2 + length
        if length < 2 or end > len(data) - 2:
            raise BadFile("A part of a JPEG is longer than it.")
        if marker == 0xC0:
            depth, height, width, parts = struct.unpack_from(">BHHB", data, at + 4)
            if depth != 8 or parts not in (1, 3) or not 0 < width * height <= _MOST_POINTS:
                raise BadFile("A JPEG of a kind that we do not make.")
            size = width, height
        elif marker == 0xDA:
            break
        elif marker not in (0xE0, 0xDB, 0xDD, 0xC4):
            raise BadFile("There is more in this JPEG than a picture.")
        at = end
    if 0 in size:
        raise BadFile("A JPEG without a picture.")
    # In what is coded, 0xFF is followed by 0 or a mark to start again, up to the end.
    coded = data[end:-2]
    place = coded.find(b"\xff")
    while place >= 0:
        if place + 1 >= len(coded) or not (
            coded[place + 1] == 0 or 0xD0 <= coded[place + 1] <= 0xD7
        ):
            raise BadFile("There is more in this JPEG than a picture.")
        place = coded.find(b"\xff", place + 2)
    return size


def bytes_at(source: Source, at: int, length: int) -> bytes:
    """So many bytes of a film from `at` on; fewer only at its end."""
    source.seek(at)
    data = bytearray()
    while len(data) < length:
        piece = source.read(length - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


def _header(data: bytes, at: int, room: int) -> tuple[bytes, int, int]:
    """A box's name, how long its header is, and how long it is: `room` where it goes to the end."""
    if len(data) < at + 8:
        raise BadFile("A box of this film is cut short.")
    length, name = struct.unpack_from(">I4s", data, at)
    header = 8
    if length == 1:
        if len(data) < at + 16:
            raise BadFile("A box of this film is cut short.")
        (length,) = struct.unpack_from(">Q", data, at + 8)
        header = 16
    elif not length:
        length = room
    if length < header:
        raise BadFile("A box of this film is shorter than its own header.")
    return name, header, length


class _Heads:
    """A moov or moof, looked through."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.boxes = self.tracks = 0
        self.coded: list[str] = []
        """How each track says that it is coded; '' of one that does not say."""

    def look(self, name: bytes) -> None:
        """Raises BadFile."""
        self._inside(name, 0, len(self._data))

    def _inside(self, parent: bytes, at: int, end: int) -> None:
        while at < end:
            if end - at < 8 or not any(self._data[at : at + 8]):
                # QuickTime ends some lists with zeros.
                if any(self._data[at : min(end, at + 64)]):
                    raise BadFile("A box of this film is cut short.")
                return
            name, header, length = _header(self._data, at, end - at)
            if at + length > end:
                raise BadFile("A box of this film is longer than the box it lies in.")
            self.boxes += 1
            if name == b"trak":
                self.tracks += 1
                self.coded.append("")
            if self.boxes > _MOST_BOXES or self.tracks > _MOST_TRACKS:
                raise BadFile("This film has more parts than any.")
            if name in _LEADS_ELSEWHERE:
                raise BadFile("The head of this film is somewhere else.")
            self._box(parent, name, at + header, at + length)
            at += length

    def _box(self, parent: bytes, name: bytes, at: int, end: int) -> None:
        if _LIES_IN.get(name, parent) != parent:
            raise BadFile("A box of this film lies where none of its kind belongs.")
        if name in _HOLDS:
            self._inside(name, at, end)
        elif name in _ROWS:
            self._rows(at, end, _ROWS[name])
        elif name == b"stsz":
            (each,) = self._unpack(">4xI", at, end)
            if not each:
                self._rows(at + 4, end, 4)
        elif name == b"elst":
            (version,) = self._unpack(">B3x", at, end)
            self._rows(at, end, 20 if version else 12)
        elif name == b"trun":
            flags, count = self._unpack(">II", at, end)
            fixed = 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
            row = 4 * sum(bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800))
            if fixed + count * row > end - at:
                raise BadFile("A table of this film is longer than its box.")
        elif name == b"dref":
            self._references(at, end)
        elif name == b"stsd":
            self._entries(at, end)

    def _references(self, at: int, end: int) -> None:
        (count,) = self._unpack(">4xI", at, end)
        at += 8
        for _ in range(count):
            if at + 12 > end:
                raise BadFile("A list of this film is longer than its box.")
            _name, header, length = _header(self._data, at, end - at)
            (flags,) = self._unpack(">I", at + header, end)
            if header != 8 or at + length > end or length < 12:
                raise BadFile("A box of this film is longer than the box it lies in.")
            if not flags & 1 and any(self._data[at + 12 : at + length]):
                raise BadFile("This film is to be looked for in another file.")
            at += length

    def _entries(self, at: int, end: int) -> None:
        (count,) = self._unpack(">4xI", at, end)
        at += 8
        for _ in range(count):
            if at + 16 > end:
                raise BadFile("A list of this film is longer than its box.")
            name, header, length = _header(self._data, at, end - at)
            if at + length > end or length < header + 8:
                raise BadFile("A box of this film is longer than the box it lies in.")
            self._entry(name, at + header, at + length)
            if self.coded and not self.coded[-1]:
                self.coded[-1] = name.decode("latin-1")
            at += length

    def _entry(self, name: bytes, at: int, end: int) -> None:
        """What codes a track; of films of others the decoder is asked."""

    def _rows(self, at: int, end: int, row: int) -> None:
        (count,) = self._unpack(">4xI", at, end)
        if 8 + count * row > end - at:
            raise BadFile("A table of this film is longer than its box.")

    def _unpack(self, form: str, at: int, end: int) -> tuple[int, ...]:
        if at + struct.calcsize(form) > end:
            raise BadFile("A box of this film is cut short.")
        return struct.unpack_from(form, self._data, at)


class _Ours(_Heads):
    """A film that may have what ours have and nothing else."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._media = (0, 0)
        self._sizes: list[int] = []
        self._places: list[int] = []
        self._runs: list[tuple[int, int]] = []
        self._samples = 0

    def look_whole(self, names: tuple[bytes, ...]) -> int:
        """How many samples it has. Raises BadFile unless these boxes, in order, are all of it."""
        at, found = 0, []
        while at < len(self._data):
            name, header, length = _header(self._data, at, -1)
            if at + length > len(self._data):
                raise BadFile("A box of this film is longer than it.")
            found.append((name, at + header, at + length))
            at += length
        if tuple(name for name, _, _ in found) != names:
            raise BadFile("This film has parts that ours do not have.")
        self._media = next((place[1:] for place in found if place[0] == b"mdat"), (0, 0))
        for name, start, end in found:
            if name == b"moov":
                self._inside(name, start, end)
        if not 1 <= self.tracks <= 2:
            raise BadFile("Our films have a picture, and sound or none.")
        return self._samples

    def _box(self, parent: bytes, name: bytes, at: int, end: int) -> None:
        if name == b"udta" and parent == b"moov" and end - at <= 256:
            return
        if _OURS.get(name) != parent:
            raise BadFile("This film has parts that ours do not have.")
        super()._box(parent, name, at, end)
        if name == b"stsz":
            each, count = self._unpack(">4xII", at, end)
            if each:
                raise BadFile("Our films say how large each sample is.")
            self._sizes = [*struct.unpack_from(f">{count}I", self._data, at + 12)]
        elif name in (b"stco", b"co64"):
            (count,) = self._unpack(">4xI", at, end)
            letter = "I" if name == b"stco" else "Q"
            self._places = [*struct.unpack_from(f">{count}{letter}", self._data, at + 8)]
        elif name == b"stsc":
            (count,) = self._unpack(">4xI", at, end)
            rows = struct.iter_unpack(">III", self._data[at + 8 : at + 8 + 12 * count])
            self._runs = [(first, many) for first, many, _ in rows]
        elif name == b"stbl":
            self._lie_in_the_film()

    def _lie_in_the_film(self) -> None:
        """Every sample of a track is a part of the mdat."""
        begin, end = self._media
        numbers = [first for first, _ in self._runs]
        if numbers != sorted(set(numbers)) or numbers[:1] not in ([], [1]):
            raise BadFile("The runs of this film are not in order.")
        next_run, next_sample, many = 0, 0, 0
        for number, place in enumerate(self._places, 1):
            if next_run < len(self._runs) and self._runs[next_run][0] == number:
                many = self._runs[next_run][1]
                next_run += 1
            sizes = self._sizes[next_sample : next_sample + many]
            if len(sizes) != many or place < begin or place + sum(sizes) > end:
                raise BadFile("A sample of this film lies outside of it.")
            next_sample += many
        if next_sample != len(self._sizes):
            raise BadFile("A sample of this film lies nowhere.")
        self._samples += next_sample
        self._sizes, self._places, self._runs = [], [], []

    def _references(self, at: int, end: int) -> None:
        if self._data[at:end] != struct.pack(">III4sI", 0, 1, 12, b"url ", 1):
            raise BadFile("This film is to be looked for in another file.")

    def _entry(self, name: bytes, at: int, end: int) -> None:
        if name not in _ENTRIES:
            raise BadFile("This film is coded as ours are not.")
        fixed, known = _ENTRIES[name]
        if name == b"avc1":
            width, height = self._unpack(">24xHH", at, end)
            if not (0 < width <= _LONGEST_SIDE and 0 < height <= _LONGEST_SIDE):
                raise BadFile("The picture of this film is larger than any of ours.")
        at += fixed
        while at < end:
            inner, _header_length, length = _header(self._data, at, -1)
            if inner not in known or at + length > end:
                raise BadFile("This film is coded as ours are not.")
            at += length
