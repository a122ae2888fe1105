"""What decodes is set apart, and nothing that comes from it is believed."""

import io
import os
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest

from appliance.errors import BadInput, KitError
from appliance.media.apart import Apart, Limits, PlainFile
from appliance.media.cutting import cut
from appliance.media.wire import FilmRefusal, refusal
from tests.support import films
from tests.support.hostile_decoder import CUTS, PICTURES

NOT_MADE = str(refusal(FilmRefusal.NOT_MADE))
ENDED = str(refusal(FilmRefusal.TOO_MUCH))


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    made = Apart()
    yield made
    made.close()


@pytest.fixture(scope="module")
def broken() -> Iterator[Apart]:
    """What decodes is in the hands of somebody else."""
    made = Apart(program="tests.support.hostile_decoder")
    yield made
    made.close()


@pytest.fixture(scope="module")
def film() -> bytes:
    return films.film(90, **films.SOURCES["with B-frames"])


def named(lie: str, handed: bytes = b"") -> PlainFile:
    return PlainFile(io.BytesIO(lie.encode() + b"\n" + handed))


class Watched(PlainFile):
    """A film that, whenever a part of it is asked for, looks at who is confined just then."""

    def __init__(self, film: bytes, together: threading.Barrier | None = None) -> None:
        super().__init__(io.BytesIO(film))
        self.seen: list[set[int]] = []
        self._together = together

    def read_at(self, offset: int, length: int, /) -> bytes:
        if length and not self.seen:
            if self._together:
                self._together.wait(30)
            self.seen.append(confined())
            if self._together:
                self._together.wait(30)
        return super().read_at(offset, length)


def confined() -> set[int]:
    """The processes that this one's children made, and that are confined and not yet ended."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        told = status(int(path.name))
        lives = told.get("Seccomp") == "2" and told["State"][0] not in "ZX"
        if lives and status(int(told["PPid"])).get("PPid") == str(os.getpid()):
            found.add(int(path.name))
    return found


def status(process: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_what_decodes_is_confined_before_it_sees_the_first_byte_and_gone_at_the_end(
    apart: Apart, film: bytes
) -> None:
    watched = Watched(film)
    assert apart.still(watched, Fraction(1))[1] == 1
    (seen,) = watched.seen
    assert len(seen) == 1 and os.getpid() not in seen
    assert confined() == set()


def test_what_is_made_apart_is_what_is_made_beside(apart: Apart, film: bytes) -> None:
    out = io.BytesIO()
    done = cut(io.BytesIO(film), Fraction(1, 2), Fraction(2), out)
    assert apart.cut(PlainFile(io.BytesIO(film)), Fraction(1, 2), Fraction(2)) == (
        done,
        out.getvalue(),
    )
    loud = list(apart.peaks(PlainFile(io.BytesIO(film)), 12))
    assert len(loud) == 12 and max(loud) > 50
    picture, appeared = apart.still(PlainFile(io.BytesIO(film)), Fraction(1))
    assert appeared == 1 and picture[:2] == b"\xff\xd8"


def test_a_refusal_keeps_its_words_and_moments_on_the_way(apart: Apart, film: bytes) -> None:
    with pytest.raises(BadInput, match=r"The film ends at 3\.000 s; the mark is at 9\.000 s\."):
        apart.cut(PlainFile(io.BytesIO(film)), Fraction(1), Fraction(9))
    with pytest.raises(KitError, match="could not be read"):
        apart.still(PlainFile(io.BytesIO(b"Dear family, " * 999)), Fraction(0))


def test_what_ended_because_nobody_asked_starts_again(film: bytes) -> None:
    apart = Apart()
    apart.still(PlainFile(io.BytesIO(film)), Fraction(0))
    apart.close()
    assert apart.still(PlainFile(io.BytesIO(film)), Fraction(0))[1] == 0
    apart.close()


@pytest.mark.parametrize("lie", PICTURES)
def test_no_lie_of_a_decoder_is_shown_as_a_picture(lie: str, broken: Apart) -> None:
    with pytest.raises(KitError) as error:
        broken.still(named(f"picture:{lie}"), Fraction(0))
    assert str(error.value) in (NOT_MADE, ENDED)


def test_a_filmstrip_has_the_pictures_that_were_asked_for_and_no_more(broken: Apart) -> None:
    assert len(list(broken.filmstrip(named("pictures:4"), 4, 16))) == 4
    for count, height in ((3, 16), (4, 17)):
        with pytest.raises(KitError, match="damaged or hostile"):
            list(broken.filmstrip(named("pictures:4"), count, height))


def test_there_are_no_more_peaks_than_were_asked_for(broken: Apart) -> None:
    assert list(broken.peaks(named("loud:40"), 40)) == [0] * 40
    with pytest.raises(KitError, match="damaged or hostile"):
        list(broken.peaks(named("loud:41"), 40))


@pytest.fixture(scope="module")
def clip(film: bytes) -> bytes:
    out = io.BytesIO()
    cut(io.BytesIO(film), Fraction(1), Fraction(2), out)
    return out.getvalue()


def brought(broken: Apart, lie: str, clip: bytes) -> bytes:
    return broken.cut(named(lie, clip), Fraction(1), Fraction(2))[1]


@pytest.mark.parametrize("lie", CUTS)
def test_no_lie_about_a_clip_is_kept(lie: str, broken: Apart, clip: bytes) -> None:
    with pytest.raises(KitError, match="damaged or hostile"):
        brought(broken, f"cut:{lie}", clip)


def test_of_what_a_decoder_calls_a_clip_only_what_ours_have_is_kept(
    broken: Apart, clip: bytes
) -> None:
    assert brought(broken, "clip:", clip) == clip
    moov = clip.index(b"moov") - 4
    hostile = {
        "nothing": b"",
        "a page": b"<html>" * 100,
        "something behind": clip + b"\0\0\0\x08free",
        "a head alone": clip[: clip.index(b"mdat") - 4],
        "another order": clip[moov:] + clip[:moov],
        "another file": clip.replace(b"url \0\0\0\1", b"url \0\0\0\0", 1),
        "another coding": clip.replace(b"avc1", b"hvc1").replace(b"stsd\0\0\0\0", b"stsd\0\0\0\0"),
        "a box that ours do not have": clip.replace(b"smhd", b"uuid", 1),
        "samples elsewhere": _with_places(clip, 5),
        "samples behind the film": _with_places(clip, len(clip)),
    }
    for name, data in hostile.items():
        with pytest.raises(KitError, match="damaged or hostile"):
            brought(broken, "clip:", data)
            pytest.fail(name)


def _with_places(clip: bytes, place: int) -> bytes:
    at = clip.index(b"stco") + 12
    return clip[:at] + struct.pack(">I", place) + clip[at + 4 :]


def test_a_clip_without_end_is_given_up(broken: Apart) -> None:
    with pytest.raises(KitError, match="damaged or hostile"):
        broken.cut(named("endless:"), Fraction(1), Fraction(2))


def test_whoever_says_nothing_is_ended(film: bytes) -> None:
    """The first question is never answered by a decoder that hangs: here, by one that asks
    nothing, for it has no processor time."""
    apart = Apart(Limits(silence=0.5, memory=1 << 26))
    with pytest.raises(KitError):
        apart.still(PlainFile(io.BytesIO(film)), Fraction(0))
    apart.close()


def test_several_films_are_decoded_at_once_each_by_its_own(apart: Apart, film: bytes) -> None:
    together = threading.Barrier(3)
    sources = [Watched(film, together) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda source: apart.still(source, Fraction(1))[1], sources))
    assert made == [1, 1, 1]
    assert all(len(source.seen[0]) == 3 for source in sources)
    assert confined() == set()
