"""What becomes of films when they are brought in that begin, stand and end when they like."""

import io
from array import array
from dataclasses import dataclass, field
from fractions import Fraction

import av

from appliance.bench.odd import drawn, muxed
from appliance.errors import KitError
from appliance.media.decoder import Remote
from appliance.media.transcoding import transcode
from appliance.media.wire import FilmNote, Kind, decoded
from tests.support import films

LIVE, Heard, Pictures, made = muxed.LIVE, muxed.Heard, muxed.Pictures, muxed.made
sized, without_first = drawn.sized, muxed.without_first


@dataclass
class Came:
    """What was made of a film."""

    film: bytearray = field(default_factory=bytearray)
    notes: list[FilmNote] = field(default_factory=list)
    said: list[KitError] = field(default_factory=list)

    @property
    def pictures(self) -> dict[int, float]:
        """When each numbered picture is first seen."""
        seen: dict[int, float] = {}
        with av.open(io.BytesIO(bytes(self.film)), "r") as opened:
            for frame in opened.decode(video=0):
                at, usual = float(frame.time or 0), frame.reformat(films.WIDTH, films.HEIGHT)
                seen.setdefault(films.number_in(usual), at)
        return seen

    @property
    def times(self) -> list[float]:
        """When each of its pictures appears, and when the last goes."""
        with av.open(io.BytesIO(bytes(self.film)), "r") as opened:
            found = [one for one in opened.demux(video=0) if one.size]
        times = sorted(float((one.pts or 0) * one.time_base) for one in found)
        return [*times, max(float(((one.pts or 0) + (one.duration or 0)) * one.time_base)
                            for one in found)]  # fmt: skip

    def loud(self, above: float = 0.2) -> list[float]:
        """When each beep begins."""
        found: list[float] = []
        with av.open(io.BytesIO(bytes(self.film)), "r") as opened:
            for frame in opened.decode(audio=0):
                samples = array("f", bytes(frame.planes[0]))
                first = next((n for n, one in enumerate(samples) if abs(one) > above), None)
                if first is not None:
                    at = float(frame.time or 0) + first / films.RATE
                    if not found or at - found[-1] > 0.3:
                        found.append(at)
        return found


class _Here:
    """A wire to nobody else."""

    def __init__(self, film: bytes) -> None:
        self._whole, self.came = film, Came()

    def ask(self, offset: int, length: int) -> bytes:
        return self._whole[offset : offset + length]

    def send(self, kind: bytes, data: bytes) -> None:
        if kind == Kind.FILM:
            self.came.film += data
        elif kind == Kind.NOTE:
            said = decoded(data, FilmNote)
            self.came.said.append(said)
            self.came.notes.append(next(one for one in FilmNote if one.sentence == said.said[0]))


def brought_in(film: bytes, longest: int = 600) -> Came:
    """What becomes of a film. Raises as `transcode`."""
    here = _Here(film)
    transcode(Remote(here, len(film)), len(film), here, Fraction(longest))
    return here.came
