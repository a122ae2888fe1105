"""A kit has Debian's PyAV and libav, which are older than the wheels: with them, too, each odd film
comes in as it must, and what is made of it can be cut and looked into."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import pytest

from appliance.bench.odd.expected import Plain, bring, compared, ends, seen_in
from appliance.bench.odd.films import FILMS
from appliance.media.apart import Apart

WHEEL, DEBIANS = Path("/opt/wheel"), Path("/usr/lib/python3/dist-packages")
BEGIN, END = Fraction(1, 4), Fraction(3, 4)
DRAW = """
import sys
from pathlib import Path
from appliance.bench.odd.films import FILMS
for name, film in FILMS.items():
    (Path(sys.argv[1]) / name).write_bytes(film.make())
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each lies. The wheel draws them: the older one cannot say all that they say."""
    place = tmp_path_factory.mktemp("films")
    found = os.pathsep.join([str(WHEEL), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", DRAW, place], check=True, env={**os.environ, "PYTHONPATH": found}
    )
    return place


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    with closing(Apart()) as process:
        yield process


def test_it_is_debians_that_is_tried() -> None:
    assert Path(av.__file__).is_relative_to(DEBIANS)


@pytest.mark.parametrize("name", FILMS)
def test_each_film_comes_in_or_is_refused_as_it_must(films: Path, apart: Apart, name: str) -> None:
    wanted = FILMS[name].expected
    came = bring((films / name).read_bytes(), apart)
    assert compared(came, wanted).wrong == []
    if not came.film:
        return
    made = Plain(came.film)
    _, clip = apart.cut(made, BEGIN, END)
    assert ends(clip) == pytest.approx(float(END - BEGIN), abs=0.03)
    shown = [number for number, at in seen_in(came.film, wanted.place)[0] if at <= BEGIN]
    assert seen_in(clip, wanted.place)[0][0][0] == shown[-1]
    picture, _ = apart.still(made, BEGIN)
    with av.open(io.BytesIO(picture), "r") as opened:
        (frame,) = opened.decode(video=0)
    assert (frame.width, frame.height) == wanted.size
