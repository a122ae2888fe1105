"""The muxer's bytes as they come, cut into the head of a film and its fragments."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from appliance.errors import BadFile, Incomplete
from appliance.film import boxes

MUXER = "mp4"
MUXER_OPTIONS: Mapping[str, str] = {
    "movflags": "empty_moov+default_base_moof+frag_keyframe+skip_trailer",
    # A little under a sixth of a second: the fragment ends at the first frame that reaches it.
    "frag_duration": "155000",
    "use_editlist": "0",
}
"""What `av.open(sink, "w", format=MUXER, options=MUXER_OPTIONS)` needs to write such films."""
INIT_LIMIT = 1 << 20
FRAGMENT_LIMIT = 16 << 20


@dataclass(frozen=True)
class Init:
    """The head of a film: ftyp and moov, to be put in front of every segment."""

    data: bytes
    tracks: Mapping[int, boxes.Track]

    @classmethod
    def parse(cls, data: bytes) -> "Init":
        """Raises BadFile."""
        names = [box.name for box in boxes.boxes(data)]
        if names != [b"ftyp", b"moov"]:
            raise BadFile("This film does not begin as ours do.")
        moov = boxes.child(data, None, b"moov")
        tracks = boxes.tracks(data[moov.start : moov.end])
        return cls(data, {track.id: track for track in tracks})

    @property
    def picture(self) -> boxes.Track:
        return next(track for track in self.tracks.values() if track.kind == "video")


@dataclass(frozen=True)
class Fragment:
    """One moof and its mdat. Offsets in `samples` count from the start of `data`."""

    data: bytes
    samples: tuple[boxes.Samples, ...]
    starts_with_key: bool
    frames: int
    seconds: Fraction
    """How long its picture lasts; 0 where it has only sound."""


class FragmentSplitter:
    """Takes the muxer's bytes in any pieces and gives back the head of the film and its fragments.

    Holds one unfinished fragment and nothing more. One thread at a time.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._init: Init | None = None

    def feed(self, piece: bytes) -> list[Init | Fragment]:
        """What `piece` completed: first of all the Init, once; then fragments. Raises BadFile."""
        self._pending += piece
        found: list[Init | Fragment] = []
        while (unit := self._next()) is not None:
            found.append(unit)
        return found

    def finish(self) -> None:
        """Call after the last piece. Raises Incomplete if the stream ended within a fragment."""
        if self._pending or self._init is None:
            raise Incomplete("The film ended in the middle of a fragment.")

    def _next(self) -> Init | Fragment | None:
        if self._init is None:
            length = box_pair(self._pending, b"ftyp", b"moov", INIT_LIMIT)
        else:
            length = box_pair(self._pending, b"moof", b"mdat", FRAGMENT_LIMIT)
        if length is None or len(self._pending) < length:
            return None
        data = bytes(memoryview(self._pending)[:length])
        del self._pending[:length]
        if self._init is None:
            self._init = Init.parse(data)
            return self._init
        return _fragment(self._init, data)


def box_pair(data: bytes | bytearray, first: bytes, second: bytes, limit: int) -> int | None:
    """The length of the two boxes at the start of `data`, or None until it can be told."""
    length = 0
    for name in (first, second):
        found = boxes.header(data, length)
        if found is None:
            return None
        if found[0] != name:
            raise BadFile(
                "Where a %(name)s should be, this film has something else.", name=name.decode()
            )
        length += found[2]
        if length > limit:
            raise BadFile(
                "A %(name)s of this film is too long to be one of ours.", name=name.decode()
            )
        if len(data) < length:
            return None
    return length


def _fragment(init: Init, data: bytes) -> Fragment:
    moof, mdat = boxes.boxes(data)
    samples = boxes.fragment(data[: moof.end], mdat.body, mdat.end, init.tracks)
    picture = [run for run in samples if run.track == init.picture.id]
    return Fragment(
        data,
        samples,
        starts_with_key=bool(picture) and 0 in picture[0].keys,
        frames=sum(len(run.sizes) for run in picture),
        seconds=Fraction(sum(sum(run.durations) for run in picture), init.picture.timescale),
    )
