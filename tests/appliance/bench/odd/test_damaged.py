"""What is damaged, or says strange things of itself, is a film or a refusal in words: within the
limits, and never called hostile. The whole matrix is measured: `attune bench import`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import pytest

from appliance.bench.odd.damaged import LONGEST, STRANGE, Answer, answer, torn_and_turned
from appliance.bench.odd.muxed import LIVE, Heard, made, steps
from appliance.media.apart import Apart, Limits

SEED, PLACES = 7, 6


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    with closing(Apart()) as process:
        yield process


def recorded(container: str, **options: str) -> bytes:
    return made(steps(0, 3), Heard(0, 3), container=container, options=options)


BASES: Mapping[str, Callable[[], bytes]] = {
    "an MP4": lambda: recorded("mp4"),
    "an MP4 in pieces": lambda: recorded("mp4", movflags="frag_keyframe+empty_moov"),
    "a Matroska": lambda: recorded("matroska"),
    "a browser's": lambda: recorded("webm", **LIVE),
}


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_what_is_torn_or_has_a_bit_turned_is_answered_in_words(base: str, apart: Apart) -> None:
    answers = {
        how: answer(film, apart) for how, film in torn_and_turned(BASES[base](), SEED, PLACES)
    }
    print(base, {how: one.refused or "in" for how, one in answers.items()})
    assert len(answers) == 2 * PLACES
    assert {how: one.wrong for how, one in answers.items() if one.wrong} == {}
    torn = {one.refused for how, one in answers.items() if how.startswith("torn")}
    # Whoever sent it is told what is the matter: it was not copied whole.
    assert torn <= {"", "cut-short"}
    assert any(not one.refused for one in answers.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STRANGE if "an hour late" not in name])
def test_what_says_strange_things_of_itself_is_answered_in_words(name: str, apart: Apart) -> None:
    assert answer(STRANGE[name](), apart, LONGEST).wrong == ""


def test_each_place_is_told_by_the_seed_and_is_only_once_damaged() -> None:
    film = bytes(range(256)) * 4
    first, again = (list(torn_and_turned(film, SEED)) for _ in range(2))
    assert first == again and first != list(torn_and_turned(film, SEED + 1))
    for how, damaged in first:
        if how.startswith("torn"):
            assert film.startswith(damaged) and 0 < len(damaged) < len(film)
        else:
            (bits,) = {a ^ b for a, b in zip(film, damaged, strict=True) if a != b}
            assert bits.bit_count() == 1


def test_an_answer_that_is_none_is_seen() -> None:
    class Broken(Apart):
        def film(self, *_given: object) -> None:  # type: ignore[override]
            raise RuntimeError("a traceback")

    assert "a traceback" in answer(b"", Broken()).wrong
    film = recorded("mp4")
    with closing(Apart(Limits(processor=0))) as hurried:
        assert answer(film, hurried) == Answer(pytest.approx(0, abs=60), "too-much")  # type: ignore[arg-type]
