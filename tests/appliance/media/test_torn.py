"""A file that was not copied whole says so of itself, wherever it was cut off."""

import io

import pytest

from appliance.errors import BadFile
from appliance.media.cutting import cut
from appliance.media.torn import is_torn
from appliance.media.wire import FilmNote
from tests.support import films
from tests.support.odd_films import LIVE, Heard, brought_in, made

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
PICTURES = [number / 30 for number in range(120)]
KINDS = {
    "WebM that says no length": {"container": "webm", "options": LIVE},
    "Matroska that says no length": {"container": "matroska", "options": LIVE},
    "WebM": {"container": "webm"},
    "Matroska": {"container": "matroska"},
    "MP4 of fragments": {"container": "mp4", "options": FRAGMENTS},
    "MP4": {"container": "mp4"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_where_a_file_is_cut_off_is_seen_by_its_last_piece(kind: str) -> None:
    film = made(PICTURES, Heard(0, 4), **KINDS[kind])  # type: ignore[arg-type]
    assert not is_torn(io.BytesIO(film), len(film))
    seen = [
        is_torn(io.BytesIO(film[:length]), length)
        for length in range(len(film) // 2, len(film), len(film) // 97)
    ]
    # Between two pieces nothing says that more should come.
    assert sum(seen) >= len(seen) - 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_film_whose_end_is_missing_says_so_or_is_refused_in_words(kind: str) -> None:
    film = made(PICTURES, Heard(0, 4), **KINDS[kind])  # type: ignore[arg-type]
    for share in (0.5, 0.6, 0.7, 0.8, 0.9):
        torn = film[: round(len(film) * share)]
        if not is_torn(io.BytesIO(torn), len(torn)):
            continue
        try:
            came = brought_in(torn)
        except BadFile as refused:
            assert "no length" not in kind and "fragments" not in kind, refused
            continue
        assert came.notes == [FilmNote.END_MISSING]
        (end,) = came.said[0].values.values()
        assert float(str(end).removesuffix(" s")) == pytest.approx(came.times[-1], abs=0.01)


@pytest.mark.parametrize("into", [4, 8, 15, 16, 60, 0.3, 0.6, 0.9, 0.99, 1, "8 behind"])
def test_a_film_that_breaks_off_in_the_head_of_a_piece_is_whole_up_to_there(
    into: float | str,
) -> None:
    film = made(PICTURES, Heard(0, 4), container="mp4", options=FRAGMENTS)
    begin = film.rindex(b"moof") - 4
    head = int.from_bytes(film[begin : begin + 4])
    assert film[begin + head + 4 : begin + head + 8] == b"mdat"
    if into == "8 behind":
        torn = film[: begin + head + 8]
    else:
        torn = film[: begin + (round(into * head) if float(into) <= 1 else int(into))]
    came, before = brought_in(torn), brought_in(film[:begin])
    assert came.notes == [FilmNote.END_MISSING]
    assert came.times == before.times
    clip, whole = io.BytesIO(), io.BytesIO()
    assert cut(io.BytesIO(torn), 0.5, 2.5, clip) == cut(io.BytesIO(film), 0.5, 2.5, whole)
    assert clip.getvalue() == whole.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3" + b"\0" * 40, b"x" * 9]
)
def test_what_is_no_film_is_left_to_others(data: bytes) -> None:
    assert is_torn(io.BytesIO(data), len(data)) in (True, False)


def test_two_recordings_one_behind_the_other_are_whole() -> None:
    one = made(PICTURES, container="webm", options=LIVE)
    assert not is_torn(io.BytesIO(one * 2), 2 * len(one))
    assert is_torn(io.BytesIO((one * 2)[:-9]), 2 * len(one) - 9)


def test_our_own_films_are_whole() -> None:
    film = films.film(90, sound=films.beep)
    assert not is_torn(io.BytesIO(film), len(film))
