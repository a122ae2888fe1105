"""What a hostile film can do to the kit: nothing.

Whatever is sent, under whatever name, it comes into the one case as a film that can be verified, or
is refused in words; and of all other files on the card not one is changed, made or removed.
"""

import io
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.joined import open_recording
from tests import films
from tests.pages import WebKit, practitioner

NAMES = ("film.mp4", "../../../permits/current", "/etc/passwd", "a\\..\\b.mov", "x" * 4000, ".")
GROWING = ("log", "run")
"""What the page writes meanwhile: that somebody asked, and how far it is."""


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.unlock()
        yield made


def hostile(dice: random.Random) -> Iterator[bytes]:
    """Films of several makers: whole, with bytes turned, cut off, and told to be enormous."""
    for kind in ("with B-frames", "Matroska", "WebM"):
        whole = films.film(30, **films.SOURCES[kind])
        yield whole
        for count in (1, 30, 1000):
            broken = bytearray(whole)
            for _ in range(count):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            yield bytes(broken)
        yield whole[: dice.randrange(len(whole))]
    plain = films.film(30, **films.PLAIN)
    for atom in (b"tkhd", b"avc1", b"stsz", b"mvhd", b"trak"):
        at = plain.index(atom)
        yield plain[: at - 4] + b"\xff\xff\xff\xff" + plain[at:]
        yield plain[: at + 24] + b"\xff" * 24 + plain[at + 48 :]


def others(kit: WebKit, place: Path) -> dict[str, bytes]:
    """Every file that is not at the place where the film may go."""
    return {
        str(path.relative_to(kit.root)): path.read_bytes()
        for path in kit.root.rglob("*")
        if path.is_file() and not path.is_relative_to(place)
        if not set(GROWING) & set(path.relative_to(kit.root).parts)
    }


def test_a_hostile_film_is_a_film_or_a_refusal_and_nothing_else(kit: WebKit) -> None:
    dice = random.Random(21)
    case = kit.make_case()
    place, page = kit.home.case(case) / "imports", f"/cases/{case}/import"
    before, refused = others(kit, place), 0
    for number, data in enumerate(hostile(dice)):
        sent = (io.BytesIO(data), NAMES[number % len(NAMES)])
        assert kit.browser.submit(page, film=sent).status == 200
        words = settled(kit, page)
        refused = words.count("This film was not brought in")
        assert words.count("The film is here.") + refused == number + 1
        assert others(kit, place) == before
    came = sorted(place.iterdir())
    assert len(came) + refused == number + 1
    assert len(came) > 3 and refused > 3, "both must be seen here"
    for film in came:
        opened = open_recording(
            film, kit.open_case(case).identities, [practitioner().signer.verifier]
        )
        assert opened.verify() == [] and opened.film.open().read()
        opened.close()


def settled(kit: WebKit, page: str) -> str:
    """What the page says once nothing is being brought in any more."""
    waiting = threading.Event()
    for _ in range(1200):
        found = kit.browser.get(page)
        if "data-job" not in found.text:
            return found.words
        waiting.wait(0.05)
    raise AssertionError("it never ended")
