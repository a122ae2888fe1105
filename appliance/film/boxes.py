"""ISO base media boxes (ISO/IEC 14496-12): the few that our films are made of, read strictly.

A fragmented film is `ftyp moov (moof mdat)*`. What is read here comes from our own muxer or out of
a sealed file, and none of it is trusted: every length is checked before it is used, and whatever we
would not write raises BadFile.
"""

import bisect
import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, chain, groupby
from typing import Any, Literal

from appliance.errors import BadFile

Bytes = bytes | bytearray
Kind = Literal["video", "sound"]
_KINDS: Mapping[bytes, Kind] = {b"vide": "video", b"soun": "sound"}

LAST_TICK = (1 << 32) - 1
"""Every time in our films fits in 32 bits: 13 hours at 90 kHz."""
_NOT_SYNC = 0x10000
_NEEDS_NO_OTHER, _NEEDS_OTHERS = 0x2000000, 0x1010000
"""A sample's flags (8.8.3.1): of a key frame and of sound, and of any other picture."""
_DPI_72 = 72 << 16
_UPRIGHT = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_NO_LANGUAGE = 0x55C4
"""'und', five bits a letter."""


@dataclass(frozen=True)
class Box:
    """One box: its four letters, and where it starts, where its body starts, and where it ends."""

    name: bytes
    start: int
    body: int
    end: int


@dataclass(frozen=True)
class Track:
    """What a moov says of a track: its number, kind, ticks a second and defaults for fragments."""

    id: int
    kind: Kind
    timescale: int
    duration: int
    size: int
    flags: int


@dataclass(frozen=True)
class Samples:
    """The samples of one track that lie side by side: one `trun`.

    `offset` counts in bytes from the start of the moof, `time` and `durations` in the track's
    ticks; `keys` are the places, from 0, of samples that need no other; `shifts` (composition
    offsets) is empty when all are zero.
    """

    track: int
    offset: int
    time: int
    sizes: tuple[int, ...]
    durations: tuple[int, ...]
    keys: tuple[int, ...]
    shifts: tuple[int, ...]


def header(data: Bytes, at: int = 0) -> tuple[bytes, int, int] | None:
    """A box's name, header length and whole length; None if `data` ends before that is known."""
    if len(data) < at + 8:
        return None
    size, name = struct.unpack_from(">I4s", data, at)
    if size == 1:
        if len(data) < at + 16:
            return None
        (size,) = struct.unpack_from(">Q", data, at + 8)
        if size < 16:
            raise BadFile("A box of this film is shorter than its own header.")
        return name, 16, size
    if size < 8:
        raise BadFile("A box of this film is shorter than its own header.")
    return name, 8, size


def boxes(data: Bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes in data[start:end], one after the other. Raises BadFile unless they fill it."""
    end = len(data) if end is None else end
    while start < end:
        found = header(data, start)
        if found is None or start + found[2] > end:
            raise BadFile("A box of this film is longer than the box it lies in.")
        name, head, size = found
        yield Box(name, start, start + head, start + size)
        start += size


def child(data: Bytes, parent: Box | None, name: bytes) -> Box:
    """The one box of that name in `parent` (None: in `data`). Raises BadFile."""
    inside = boxes(data) if parent is None else boxes(data, parent.body, parent.end)
    found = [box for box in inside if box.name == name]
    if len(found) != 1:
        raise BadFile(
            "This film should have one %(name)s here and has %(count)s.",
            name=name.decode(),
            count=len(found),
        )
    return found[0]


def make(name: bytes, *parts: bytes) -> bytes:
    """A box of that name around `parts`."""
    size = 8 + sum(len(part) for part in parts)
    return b"".join((struct.pack(">I4s", size, name), *parts))


def tracks(moov: bytes) -> tuple[Track, ...]:
    """The tracks of a fragmented film's moov. Raises BadFile."""
    whole = child(moov, None, b"moov")
    defaults: dict[int, tuple[int, int, int]] = {}
    extends = child(moov, whole, b"mvex")
    for box in boxes(moov, extends.body, extends.end):
        if box.name == b"trex":
            number, _, *values = _unpack(">4xIIIII", moov, box)
            defaults[number] = (values[0], values[1], values[2])
    found = []
    for box in boxes(moov, whole.body, whole.end):
        if box.name != b"trak":
            continue
        media = child(moov, box, b"mdia")
        (handler,) = _unpack(">8x4s", moov, child(moov, media, b"hdlr"))
        number = _after_dates(moov, child(moov, box, b"tkhd"))
        timescale = _after_dates(moov, child(moov, media, b"mdhd"))
        if handler not in _KINDS or number not in defaults or timescale == 0:
            raise BadFile("This film has a track that we did not write.")
        found.append(Track(number, _KINDS[handler], timescale, *defaults[number]))
    kinds = sorted(track.kind for track in found)
    if kinds not in (["video"], ["sound", "video"]):
        raise BadFile("A film has one picture track and at most one of sound.")
    if len({track.id for track in found}) != len(found):
        raise BadFile("Two tracks of this film have the same number.")
    return tuple(found)


def fragment(
    moof: bytes, data_start: int, data_end: int, tracks: Mapping[int, Track]
) -> tuple[Samples, ...]:
    """What one moof says of the mdat behind it, whose payload is [data_start, data_end).

    Both count from the start of the moof. Raises BadFile if a sample lies outside it, or if the
    fragment names a track that is not there.
    """
    found = []
    whole = child(moof, None, b"moof")
    for traf in boxes(moof, whole.body, whole.end):
        if traf.name != b"traf":
            continue
        track, time = _defaults(moof, traf, tracks)
        for box in boxes(moof, traf.body, traf.end):
            if box.name == b"trun":
                samples = _run(moof, box, track, time, data_end - data_start)
                if samples.offset < data_start or samples.offset + sum(samples.sizes) > data_end:
                    raise BadFile("A fragment of this film points outside itself.")
                time += sum(samples.durations)
                if time > LAST_TICK:
                    raise BadFile("This film is too long to be one of ours.")
                found.append(samples)
    return tuple(found)


@dataclass
class Gathered:
    """Samples of one track that are still to be put into a fragment, `time` that of the first."""

    track: int
    time: int = 0
    rows: list[int] = field(default_factory=list)
    """Of each sample how long it lasts, how many bytes it has, and its flags."""
    data: list[bytes] = field(default_factory=list)

    @property
    def lasts(self) -> int:
        """Ticks of all of them."""
        return sum(self.rows[::3])

    def add(self, data: bytes, time: int, duration: int, key: bool) -> None:
        """The sample after those that are here."""
        if not self.data:
            self.time = time
        self.rows += (duration, len(data), _NEEDS_NO_OTHER if key else _NEEDS_OTHERS)
        self.data.append(data)

    def clear(self) -> None:
        self.rows.clear()
        self.data.clear()


def movie_fragment(number: int, tracks: Sequence[Gathered]) -> bytes:
    """A moof and its mdat, the `number`th of a film from 1, with what is gathered of each track."""
    counts = [len(track.data) for track in tracks]
    # Bytes of the boxes below, and the head of the mdat.
    place = 24 + sum(64 + 12 * count for count in counts) + 8
    trafs = []
    for track, count in zip(tracks, counts, strict=True):
        # 14496-12, 8.8.7: places count from the moof; 8.8.8: each sample says all of itself.
        tfhd = make(b"tfhd", struct.pack(">II", 0x020000, track.track))
        tfdt = make(b"tfdt", struct.pack(">IQ", 1 << 24, track.time))
        rows = struct.pack(f">IIi{3 * count}I", 0x000701, count, place, *track.rows)
        trafs.append(make(b"traf", tfhd, tfdt, make(b"trun", rows)))
        place += sum(map(len, track.data))
    moof = make(b"moof", _full(b"mfhd", struct.pack(">I", number)), *trafs)
    return moof + make(b"mdat", *(sample for track in tracks for sample in track.data))


def whole(samples: Iterable[Samples], end: int) -> Iterator[Samples]:
    """What of a fragment lies before `end`, bytes from the start of its moof: the rest is torn."""
    for run in samples:
        count = bisect.bisect_right(list(accumulate(run.sizes)), end - run.offset)
        if count:
            yield Samples(
                run.track,
                run.offset,
                run.time,
                run.sizes[:count],
                run.durations[:count],
                tuple(key for key in run.keys if key < count),
                run.shifts[:count],
            )


def counted(values: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Equal neighbours as (how many, which)."""
    return ((sum(1 for _ in same), value) for value, same in groupby(values))


@dataclass
class Table:
    """One track's samples over a whole film, in the order they are decoded, times in ticks."""

    timescale: int
    times: "array[int]" = field(default_factory=lambda: array("q"))
    end: int = 0
    """When the last sample goes."""
    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    shifts: "array[int]" = field(default_factory=lambda: array("q"))
    keys: "array[int]" = field(default_factory=lambda: array("I"))
    """The key frames' numbers, from 0; empty where every sample is one."""
    chunks: "array[int]" = field(default_factory=lambda: array("Q"))
    """Where each run of neighbouring samples lies, from the first byte behind the head."""
    counts: "array[int]" = field(default_factory=lambda: array("I"))
    """How many samples each run has."""
    shown: tuple[int, int] | None = None
    """What is played of a track that begins at 0, from and until, if not all of it: in front lies
    what a decoder needs to begin, behind it what filled a coder's last sample."""


def progressive_head(init: bytes, tables: Mapping[int, Table], payload: int) -> bytes:
    """ftyp, moov and the head of an mdat of `payload` bytes, from a moov without samples (such as
    a fragmented film's) and the samples of each of its tracks.

    What `init` says of the pictures and the sound is kept; edits, dates and names are not. A track
    that starts late gets an empty edit, so that every time counts from the start of the film; one
    of which only a part is to be played, one that says so.
    """
    ftyp = make(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
    long = payload + (64 << 20) >= 1 << 32
    if long:
        mdat = struct.pack(">I4sQ", 1, b"mdat", payload + 16)
    else:
        mdat = struct.pack(">I4s", payload + 8, b"mdat")
    # How long the moov is does not hang on where the samples lie: the first one only measures.
    before = len(ftyp) + len(_moov(init, tables, 0, long)) + len(mdat)
    return ftyp + _moov(init, tables, before, long) + mdat


@dataclass
class Coded:
    """One track of a film that is made here: a `trak` without samples, and the samples as they are
    decoded. `table` says when, from 0 on; where they lie is still to be found out."""

    trak: bytes
    table: Table
    samples: list[bytes]


def plain_film(tracks: Sequence[Coded]) -> Iterator[bytes]:
    """A plain MP4 in parts, its moov first so that it plays before it is all there.

    The tracks lie side by side, a second of each in turn. Their `trak`s are numbered from 1.
    """
    place, next_sample, second = 0, [0] * len(tracks), 0
    order: list[bytes] = []
    while any(at < len(track.samples) for at, track in zip(next_sample, tracks, strict=True)):
        second += 1
        for number, track in enumerate(tracks):
            table, first = track.table, next_sample[number]
            last = bisect.bisect_left(table.times, second * table.timescale)
            if first < last:
                part = track.samples[first:last]
                table.sizes.extend(map(len, part))
                table.chunks.append(place)
                table.counts.append(len(part))
                place += sum(map(len, part))
                order += part
                next_sample[number] = last
    init = make(b"moov", _movie_header(len(tracks)), *(track.trak for track in tracks))
    tables = {number: track.table for number, track in enumerate(tracks, 1)}
    yield progressive_head(init, tables, place)
    yield from order


def picture_trak(
    number: int,
    timescale: int,
    size: tuple[int, int],
    record: bytes,
    *,
    aspect: Fraction,
    colours: tuple[int, int, int, bool] | None,
    matrix: bytes | None,
) -> bytes:
    """A `trak` for H.264 pictures of `size` without its samples; `record` is the body of its avcC.

    `aspect` is that of a pixel; `colours` are primaries, transfer and matrix after
    ISO/IEC 23091-2 and whether the range is full; `matrix` turns the picture (14496-12, 6.2.2).
    """
    width, height = size
    parts = [make(b"avcC", record)]
    if colours:
        *three, full = colours
        parts.append(make(b"colr", struct.pack(">4s3HB", b"nclx", *three, full << 7)))
    if aspect != 1:
        parts.append(make(b"pasp", struct.pack(">II", *aspect.as_integer_ratio())))
    head = struct.pack(">6xH16xHHIIIH32xHh", 1, width, height, _DPI_72, _DPI_72, 0, 1, 24, -1)
    media = make(b"vmhd", struct.pack(">I8x", 1))
    shown = (round(width * aspect) << 16, height << 16)
    entry = make(b"avc1", head, *parts)
    return _new_trak(number, timescale, b"vide", media, entry, shown, matrix or _UPRIGHT)


def sound_trak(number: int, rate: int, channels: int, config: bytes) -> bytes:
    """A `trak` for AAC sound without its samples; `config` is its AudioSpecificConfig."""
    head = struct.pack(">6xH8xHHII", 1, channels, 16, 0, rate << 16)
    # ISO/IEC 14496-1, 7.2.6: what codes it, its config, and that nothing else is said.
    coder = struct.pack(">BB3xII", 0x40, 0x15, 0, 0) + _descriptor(5, config)
    stream = struct.pack(">HB", number, 0) + _descriptor(4, coder) + _descriptor(6, b"\2")
    entry = make(b"mp4a", head, _full(b"esds", _descriptor(3, stream)))
    media = _full(b"smhd", bytes(4))
    return _new_trak(number, rate, b"soun", media, entry, (0, 0), _UPRIGHT)


def _new_trak(
    number: int,
    timescale: int,
    handler: bytes,
    media: bytes,
    entry: bytes,
    size: tuple[int, int],
    matrix: bytes,
) -> bytes:
    loud = 0x100 if handler == b"soun" else 0
    tkhd = struct.pack(">IIIIIIIIHHHH", 3, 0, 0, number, 0, 0, 0, 0, 0, 0, loud, 0)
    one = struct.pack(">I", 1)
    links = make(b"dinf", _full(b"dref", one, make(b"url ", one)))
    stsd = make(b"stbl", _full(b"stsd", one, entry))
    return make(
        b"trak",
        make(b"tkhd", tkhd, matrix, struct.pack(">II", *size)),
        make(
            b"mdia",
            _full(b"mdhd", struct.pack(">IIIIHH", 0, 0, timescale, 0, _NO_LANGUAGE, 0)),
            _full(b"hdlr", struct.pack(">4x4s13x", handler)),
            make(b"minf", media, links, stsd),
        ),
    )


def _movie_header(tracks: int) -> bytes:
    times = struct.pack(">IIIIIH10x", 0, 0, 0, 0, 1 << 16, 0x100)
    return _full(b"mvhd", times, _UPRIGHT, bytes(24), struct.pack(">I", tracks + 1))


def _descriptor(tag: int, body: bytes) -> bytes:
    """Ours are all shorter than 128 bytes, so that one byte says how long they are."""
    return bytes((tag, len(body))) + body


def _moov(init: bytes, tables: Mapping[int, Table], before: int, long: bool) -> bytes:
    moov = child(init, None, b"moov")
    # Ticks of the picture throughout: an edit can then be exact.
    ticks = next(table.timescale for table in tables.values())
    traks, end = [], 0
    for box in boxes(init, moov.body, moov.end):
        if box.name != b"trak":
            continue
        table = tables[_after_dates(init, child(init, box, b"tkhd"))]
        # A track without one sample, such as sound that never came, would only puzzle a player.
        if table.times:
            trak, lasts = _trak(init, box, table, ticks, before, long)
            traks.append(trak)
            end = max(end, lasts)
    return make(b"moov", _timed(init, child(init, moov, b"mvhd"), 12, (ticks, end)), *traks)


def _trak(
    init: bytes, trak: Box, table: Table, ticks: int, before: int, long: bool
) -> tuple[bytes, int]:
    """A `trak` with its samples, and how long it lasts in `ticks` a second."""
    media = child(init, trak, b"mdia")
    minf = child(init, media, b"minf")
    stbl = child(init, minf, b"stbl")
    start = table.times[0]
    first, last = table.shown or (0, table.end - start)
    lasts = -(-(start + last - first) * ticks // table.timescale)
    gap = start * ticks // table.timescale
    edits = [(gap, -1)] if start else []
    if start or (first, last) != (0, table.end):
        edits.append((lasts - gap, first))
    parts = [_timed(init, child(init, trak, b"tkhd"), 20, (lasts,))]
    if edits:
        rows = (struct.pack(">IiI", *edit, 1 << 16) for edit in edits)
        parts.append(make(b"edts", _full(b"elst", struct.pack(">I", len(edits)), *rows)))
    kept = [_copy(init, box) for box in boxes(init, minf.body, minf.end) if box.name != b"stbl"]
    samples = make(
        b"stbl", _copy(init, child(init, stbl, b"stsd")), *_sample_tables(table, before, long)
    )
    media_header = _timed(init, child(init, media, b"mdhd"), 16, (table.end - start,))
    handler = _copy(init, child(init, media, b"hdlr"))
    parts.append(make(b"mdia", media_header, handler, make(b"minf", *kept, samples)))
    return make(b"trak", *parts), lasts


def _sample_tables(table: Table, before: int, long: bool) -> Iterator[bytes]:
    """stts, ctts and stss where needed, stsc, stsz, stco or co64 (ISO/IEC 14496-12, 8.6, 8.7)."""
    following = chain(table.times[1:], [table.end])
    steps = (after - time for time, after in zip(table.times, following, strict=True))
    yield _full(b"stts", *_rows(counted(steps)))
    if any(table.shifts):
        # Version 1: an offset may be negative.
        yield make(b"ctts", struct.pack(">I", 1 << 24), *_rows(counted(table.shifts)))
    if table.keys:
        yield _full(b"stss", *_rows((key + 1,) for key in table.keys))
    first = 1
    runs = []
    for count, value in counted(table.counts):
        runs.append((first, value, 1))
        first += count
    yield _full(b"stsc", *_rows(runs))
    yield _full(b"stsz", struct.pack(">I", 0), *_rows((size,) for size in table.sizes))
    places = [before + chunk for chunk in table.chunks]
    width = "Q" if long else "I"
    yield _full(
        b"co64" if long else b"stco", struct.pack(f">I{len(places)}{width}", len(places), *places)
    )


def _rows(rows: Iterable[tuple[int, ...]]) -> tuple[bytes, bytes]:
    """How many rows there are, and their 32-bit fields."""
    listed = list(rows)
    fields = list(chain.from_iterable(listed))
    return struct.pack(">I", len(listed)), struct.pack(
        f">{len(fields)}I", *(f % (1 << 32) for f in fields)
    )


def _full(name: bytes, *parts: bytes) -> bytes:
    return make(name, b"\0\0\0\0", *parts)


def _copy(data: bytes, box: Box) -> bytes:
    return data[box.start : box.end]


def _timed(init: bytes, box: Box, at: int, values: tuple[int, ...]) -> bytes:
    """A header box with other times at `at` in its body. Raises BadFile for one in 64-bit form."""
    if _version(init, box) or box.end - box.body < at + 4 * len(values):
        raise BadFile("This film has a %(name)s that we did not write.", name=box.name.decode())
    if max(values) > LAST_TICK:
        raise BadFile("This film is too long to be one of ours.")
    at += box.body
    new = struct.pack(f">{len(values)}I", *values)
    return init[box.start : at] + new + init[at + len(new) : box.end]


def _defaults(moof: bytes, traf: Box, tracks: Mapping[int, Track]) -> tuple[Track, int]:
    """A traf's track with the defaults that hold in this fragment, and its first decode time."""
    header_box = child(moof, traf, b"tfhd")
    flags, number = _unpack(">II", moof, header_box)
    if number not in tracks or not flags & 0x020000 or flags & 0x1:
        raise BadFile("A fragment of this film is not one that we write.")
    track, at = tracks[number], header_box.body + 8
    values = [track.duration, track.size, track.flags]
    if flags & 0x2:
        at += 4
    for place, flag in enumerate((0x8, 0x10, 0x20)):
        if flags & flag:
            (values[place],) = _unpack(">I", moof, Box(b"tfhd", at, at, header_box.end))
            at += 4
    time_box = child(moof, traf, b"tfdt")
    (time,) = _unpack(">4xQ" if _version(moof, time_box) else ">4xI", moof, time_box)
    return Track(number, track.kind, track.timescale, *values), time


def _run(moof: bytes, box: Box, track: Track, time: int, room: int) -> Samples:
    flags, count = _unpack(">II", moof, box)
    at = box.body + 8
    if not flags & 0x1:
        raise BadFile("A fragment of this film does not say where its samples lie.")
    (offset,) = _unpack(">i", moof, Box(b"trun", at, at, box.end))
    at += 4
    first_flags = None
    if flags & 0x4:
        (first_flags,) = _unpack(">I", moof, Box(b"trun", at, at, box.end))
        at += 4
    signed = bool(_version(moof, box))
    names = [
        name
        for name, flag in (("d", 0x100), ("s", 0x200), ("f", 0x400), ("c", 0x800))
        if flags & flag
    ]
    if count == 0 or box.end - at != count * 4 * len(names):
        raise BadFile("A fragment of this film has a broken table of samples.")
    if count > room:
        # Without a table the count is only a number: it must not be able to fill the memory.
        raise BadFile("A fragment of this film claims more samples than it can hold.")
    columns: dict[str, tuple[int, ...]] = {}
    if names:
        form = ">" + "".join("i" if name == "c" and signed else "I" for name in names)
        rows = struct.iter_unpack(form, moof[at : box.end])
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    sizes = columns.get("s", (track.size,) * count)
    durations = columns.get("d", (track.duration,) * count)
    marks = list(columns.get("f", (track.flags,) * count))
    if first_flags is not None:
        marks[0] = first_flags
    if 0 in sizes or 0 in durations:
        raise BadFile("A fragment of this film has a sample without bytes or without time.")
    shifts = columns.get("c", ())
    keys = tuple(place for place, mark in enumerate(marks) if not mark & _NOT_SYNC)
    return Samples(track.id, offset, time, sizes, durations, keys, shifts if any(shifts) else ())


def _after_dates(moov: bytes, box: Box) -> int:
    """The field behind the two dates: a tkhd's track number, a mdhd's or mvhd's timescale."""
    (value,) = _unpack(">20xI" if _version(moov, box) else ">12xI", moov, box)
    return int(value)


def _version(data: bytes, box: Box) -> int:
    """A full box's version, 0 or 1. Raises BadFile for another."""
    if box.end <= box.body or data[box.body] > 1:
        raise BadFile(
            "This film has a %(name)s of a kind that we do not write.",
            name=box.name.decode(errors="replace"),
        )
    return data[box.body]


def _unpack(form: str, data: Bytes, box: Box) -> tuple[Any, ...]:
    """The fields at the start of a box's body. Raises BadFile if the box ends before they do."""
    if box.end - box.body < struct.calcsize(form):
        raise BadFile(
            "A %(name)s of this film is cut short.", name=box.name.decode(errors="replace")
        )
    return struct.unpack_from(form, data, box.body)
