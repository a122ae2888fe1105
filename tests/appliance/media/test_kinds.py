"""What the kit does not read is refused by its name, with what to do about it."""

import io
from array import array
from collections.abc import Sequence
from fractions import Fraction

import av
import pytest

from appliance.errors import BadFile, KitError
from appliance.media.kinds import FilmKind, kind_named, kind_of_file
from appliance.media.wire import FilmNote, FilmRefusal, coded, decoded, refusal
from tests.support.odd_films import brought_in

WIDTH, HEIGHT, RATE = 176, 144, 8000


def film(
    picture: str, container: str, sound: str = "", form: str = "yuv420p", size: Sequence[int] = ()
) -> bytes:
    """A second of grey, and of silence if `sound` names a coder."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as made:
        track = made.add_stream(picture, rate=25, options={"strict": "experimental"})
        track.width, track.height = size or (WIDTH, HEIGHT)
        track.pix_fmt = form
        heard = made.add_stream(sound, rate=RATE, layout="mono") if sound else None
        for number in range(25):
            frame = av.VideoFrame(track.width, track.height, form)
            for plane in frame.planes:
                plane.update(bytes([100 + number]) * plane.buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            made.mux(track.encode(frame))
        made.mux(track.encode(None))
        if heard is not None:
            part = av.AudioFrame("s16", "mono", RATE)
            part.planes[0].update(array("h", bytes(2 * RATE)).tobytes())
            part.sample_rate, part.pts, part.time_base = RATE, 0, Fraction(1, RATE)
            made.mux([*heard.encode(part), *heard.encode(None)])
    return out.getvalue()


def renamed(film: bytes, old: bytes, new: bytes) -> bytes:
    """An MP4 whose track says that it is coded otherwise."""
    at = film.index(old, film.index(b"stsd"))
    return film[:at] + new + film[at + 4 :]


def refused(data: bytes) -> KitError:
    with pytest.raises(BadFile) as error:
        brought_in(data)
    # As it comes out of the process that decodes.
    return decoded(coded(error.value))


PICTURES = {
    FilmKind.H263: lambda: film("h263", "3gp"),
    FilmKind.MJPEG: lambda: film("mjpeg", "mov", "pcm_u8", form="yuvj420p"),
    FilmKind.PRORES: lambda: film("prores_ks", "mov", form="yuv422p10le"),
    FilmKind.MPEG2: lambda: film("mpeg2video", "mov"),
    FilmKind.DV: lambda: film("dvvideo", "mov", size=(720, 576)),
    FilmKind.WINDOWS: lambda: film("msmpeg4", "matroska"),
    FilmKind.STUDIO: lambda: film("ffv1", "matroska"),
    FilmKind.QUICKTIME: lambda: film("svq1", "mov", form="yuv410p"),
    FilmKind.H266: lambda: renamed(film("libx264", "mp4"), b"avc1", b"vvc1"),
    FilmKind.PICTURE: lambda: renamed(film("libx264", "mp4"), b"avc1", b"zzzz"),
}


@pytest.mark.parametrize("kind", PICTURES, ids=lambda kind: kind.value)
def test_a_picture_that_is_not_read_is_named(kind: FilmKind) -> None:
    error = refused(PICTURES[kind]())
    assert error.said[0] == FilmRefusal.UNKNOWN_KIND.sentence
    assert error.sentence.startswith(kind.sentence)


SOUNDS = {
    FilmKind.OLD_SOUND: lambda: film("libx264", "mov", "pcm_u8"),
    FilmKind.APAC: lambda: renamed(film("libx264", "mov", "pcm_s16le"), b"sowt", b"apac"),
    FilmKind.SOUND: lambda: renamed(film("libx264", "mov", "pcm_s16le"), b"sowt", b"zzzz"),
}


@pytest.mark.parametrize("kind", SOUNDS, ids=lambda kind: kind.value)
def test_sound_that_is_not_read_is_named_and_the_picture_is_not_blamed(kind: FilmKind) -> None:
    error = refused(SOUNDS[kind]())
    assert error.said[0] == FilmRefusal.UNKNOWN_SOUND.sentence
    assert error.sentence.startswith(kind.sentence)


FILES = {
    FilmKind.AVI: lambda: film("mjpeg", "avi", form="yuvj420p"),
    FilmKind.WMV: lambda: film("wmv2", "asf"),
    FilmKind.MPG: lambda: film("mpeg2video", "vob"),
    FilmKind.FLV: lambda: film("flv1", "flv"),
    FilmKind.PHOTO: lambda: b"\xff\xd8\xff\xe1" + bytes(5000),
    FilmKind.DOCUMENT: lambda: b"%PDF-1.7\n" + bytes(5000),
    FilmKind.ARCHIVE: lambda: b"PK\x03\x04" + bytes(5000),
    FilmKind.ONLY_SOUND: lambda: b"ID3\x04" + bytes(5000),
}


@pytest.mark.parametrize("kind", FILES, ids=lambda kind: kind.value)
def test_a_file_that_is_no_film_of_ours_is_named(kind: FilmKind) -> None:
    error = refused(FILES[kind]())
    assert error.said[0] == FilmRefusal.UNKNOWN_FILE.sentence
    assert error.sentence.startswith(kind.sentence)


def test_what_is_no_file_of_any_kind_has_no_name() -> None:
    assert kind_of_file(b"Dear family, " * 9) is None and kind_of_file(b"") is None
    assert kind_named("", "", sound=True) is FilmKind.SOUND
    assert kind_named("unheard-of", " APCN", sound=False) is FilmKind.PRORES


@pytest.mark.parametrize(
    "why",
    [FilmRefusal.NOT_A_FILM, FilmRefusal.UNKNOWN_FILE, FilmRefusal.UNKNOWN_KIND,
     FilmRefusal.UNKNOWN_SOUND],
    ids=lambda why: why.value,
)  # fmt: skip
def test_what_to_do_is_said_for_wherever_a_film_comes_from(why: FilmRefusal) -> None:
    assert all(where in why.hint for where in ("iPhone", "Android", "Zoom", "Teams"))


def test_only_what_broke_a_rule_is_called_hostile() -> None:
    said = {why for why in (*FilmRefusal, *FilmNote) if "hostile" in why.sentence + why.hint}
    assert said == {FilmRefusal.NOT_MADE}


@pytest.mark.parametrize("kind", FilmKind, ids=lambda kind: kind.value)
def test_each_kind_comes_over_the_wire_as_its_code_alone(kind: FilmKind) -> None:
    error = refusal(FilmRefusal.UNKNOWN_KIND, kind=kind)
    assert coded(error) == f"unknown-kind\nkind={kind.value}".encode()
    assert str(decoded(coded(error))) == str(error)


@pytest.mark.parametrize(
    "lie",
    [
        b"unknown-kind",
        b"unknown-kind\nkind=nonsense",
        b"unknown-kind\nkind=1.000 s",
        b"unknown-kind\nkind=h263\nkind=h263",
        b"unknown-kind\nkind=Call 0800 1234",
        b"unknown-kind\nkind=h263\nend=1.000 s",
        b"ends-before\nend=h263\nstart=1.000 s",
    ],
)
def test_nothing_else_comes_over_it_in_place_of_a_kind(lie: bytes) -> None:
    assert decoded(lie).said[0] == FilmRefusal.NOT_MADE.sentence
