"""What a hostile film can do to the kit: nothing.

Whatever is sent, under whatever name, it comes into the one case as a film that can be verified, or
is refused in words; and of all other files on the card not one is changed, made or removed.
"""

import contextlib
import io
import random
import struct
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from appliance.age.recipients import parse_recipient
from appliance.casework.importing import Original, import_film
from appliance.film.manifest import FilmStarted
from appliance.film.recording import differences, open_recording
from appliance.media.apart import Apart
from appliance.media.decoder import Remote
from appliance.media.transcoding import transcode
from appliance.media.wire import Kind
from appliance.protocol.permits import recipient_digest
from appliance.records.files import new_id
from tests.support import films
from tests.support.pages import WebKit, practitioner

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
        refused = words.count("We could not add this film")
        assert words.count("The film is on this kit.") + refused == number + 1
        assert others(kit, place) == before
    came = sorted(place.iterdir())
    assert len(came) + refused == number + 1
    assert len(came) > 3 and refused > 3, "both must be seen here"
    for film in came:
        opened = open_recording(
            film, kit.open_case(case).identities, [practitioner().signer.verifier]
        )
        assert differences(opened.directory, opened.manifest) == [] and opened.film.open().read()
        opened.close()


def noise_in_good_boxes(dice: random.Random) -> bytes:
    """A film in the form of ours whose pictures are what whoever broke its decoder put there."""

    class Kept:
        made = b""

        def ask(self, offset: int, length: int) -> bytes:
            return whole[offset : offset + length]

        def send(self, kind: bytes, data: bytes) -> None:
            self.made += data if kind == Kind.FILM else b""

    whole, kept = films.film(60, **films.SOURCES["with B-frames"]), Kept()
    transcode(Remote(kept, len(whole)), len(whole), kept, Fraction(60))
    made = bytearray(kept.made)
    at = 0
    while at < len(made):
        length, name = struct.unpack_from(">I4s", made, at)
        if name == b"mdat":
            # The lengths of the first unit stay, so that a decoder does look into it.
            made[at + 13 : at + length] = dice.randbytes(length - 13)
        at += length
    return bytes(made)


def test_what_a_hostile_decoder_made_is_never_decoded_beside_the_keys(kit: WebKit) -> None:
    """It was once: poster, filmstrip, clip and picture of an imported film were drawn in the page's
    own process. What it may do there is `tests/appliance/media/test_sandbox.py`."""
    dice = random.Random(7)
    case = kit.make_case()
    opened, name = kit.open_case(case), new_id()
    with (
        contextlib.closing(Original(kit.home.case(case))) as original,
        contextlib.closing(Apart(program="tests.support.hostile_decoder")) as broken,
    ):
        original.write(b"film:\n" + noise_in_good_boxes(dice))
        started = FilmStarted(
            recording=name,
            case=case,
            kit="abcdefghijklmnop",
            permit="",
            consent="0" * 64,
            recipient=recipient_digest(opened.record.recipient),
            kind="imported",
            limit=60,
            sound=False,
            boot="boot",
            started=kit.clock.read().wall,
        )
        import_film(
            original,
            kit.home.case(case) / "imports" / name,
            started,
            parse_recipient(opened.record.recipient),
            practitioner().signer,
            lambda: started.started,
            broken,
        )
    film, shown = f"/cases/{case}/films/{name}", kit.home.case(case) / "imports" / name
    before = others(kit, kit.home.case(case))
    assert kit.browser.get(film).status == 200
    refused = ("damaged or hostile", "could not be read", "no picture", "gave up", "damaged")
    for answer in (
        kit.browser.get(f"{film}/poster.jpg"),
        kit.browser.submit(film, f"{film}/stills", at="0:00.5"),
        kit.browser.submit(film, f"{film}/clips", start="0:00.5", end="0:01.5"),
    ):
        assert answer.status == 200 or any(words in answer.words for words in refused)
    glance = kit.browser.get(f"{film}/glance.json")
    waiting = threading.Event()
    for _ in range(1200):
        again = kit.browser.get(f"{film}/glance.json")
        if again.status == 200 or '"failed":true' in again.text.replace(" ", ""):
            break
        waiting.wait(0.05)
    assert glance.status == 202 and again is not glance
    # The page is there, and nothing but what belongs to this family has changed.
    assert kit.browser.get(film).status == 200 and shown.is_dir()
    assert others(kit, kit.home.case(case)) == before


def settled(kit: WebKit, page: str) -> str:
    """What the page says once nothing is being brought in any more."""
    waiting = threading.Event()
    for _ in range(1200):
        found = kit.browser.get(page)
        if "data-job" not in found.text:
            return found.words
        waiting.wait(0.05)
    raise AssertionError("it never ended")
