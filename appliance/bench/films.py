"""The films that the measures use, from the recorder's own encoder, kept as it keeps them.

The pictures are its test card, which burns into each its number. A minute is encoded and repeated.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from appliance.age.sealing import Recipient
from appliance.bench import run
from appliance.film.fragments import Fragment, FragmentSplitter, Init
from appliance.film.manifest import MANIFEST, EndReason, FilmEnded, FilmStarted, manifest_lines
from appliance.film.segment import SealedSegment
from appliance.records.files import new_id

RATE = 30
MINUTE = 60 * RATE
"""Frames after which the numbers begin anew."""
_SEGMENT = 30 * RATE

_MAKE = """
import sys
from firmware.camera import TICKS
from firmware.cameras.scene import PictureEncoder, sound_frame
from firmware.cameras.testcard import TestCard
from firmware.muxer import Muxer
card = TestCard(1920, 1080, 30)
encoder = PictureEncoder(1920, 1080, card.rate, 4_000_000)
takes = card.takes()
minute = [(take, *encoder.encode(take.frame, take.time)) for take, _ in zip(takes, range(60 * 30))]
for path, minutes in zip(sys.argv[1::2], sys.argv[2::2]):
    with open(path, "wb") as file:
        muxer, heard = Muxer(file.write, sound=True), 0
        for number in range(int(minutes)):
            for take, data, key in minute:
                muxer.picture(data, take.time + 60 * TICKS * number, take.duration, key)
                muxer.sound(sound_frame(take.sound, heard))
                heard += len(take.sound) // 2
        muxer.close()
"""


def make(*films: tuple[Path, int]) -> None:
    """Write films of so many minutes, 1920 by 1080, as the muxer makes them. Raises NotPossible."""
    # Apart: what is shared knows nothing of the recorder.
    run(sys.executable, "-c", _MAKE, *(word for film in films for word in film))


def keep(
    raw: Path,
    folder: Path,
    recipient: Recipient,
    started: FilmStarted,
    sign: Callable[[str], str] = lambda text: text,
) -> None:
    """Put what `make` made into a recording's directory, sealed to `recipient` in segments."""
    folder.mkdir(parents=True)
    lines = []
    for number, (init, fragments) in enumerate(_segments(raw)):
        segment = SealedSegment(folder, folder.name, number, init, recipient)
        for fragment in fragments:
            segment.add(fragment)
        lines.append(segment.close())
    ended = FilmEnded.after(lines, EndReason.LIMIT, datetime.now(UTC))
    text = manifest_lines(started, *lines, ended)
    (folder / MANIFEST).write_text(sign(text))


def beginning(recording: str, recipient: Recipient, case: str = "", kit: str = "") -> FilmStarted:
    """The first line of a manifest; ids that do not matter are made up."""
    return FilmStarted(
        recording=recording,
        case=case or new_id(),
        kit=kit or new_id(),
        permit=new_id(),
        consent=new_id(),
        recipient=hashlib.sha256(str(recipient).encode()).hexdigest(),
        kind="visit",
        limit=45 * 60,
        sound=True,
        boot=new_id(),
        started=datetime.now(UTC),
    )


def _segments(raw: Path) -> Iterator[tuple[Init, list[Fragment]]]:
    """The fragments of each half minute."""
    splitter = FragmentSplitter()
    init: Init | None = None
    held: list[Fragment] = []
    with raw.open("rb") as file:
        while piece := file.read(1 << 20):
            for unit in splitter.feed(piece):
                if isinstance(unit, Init):
                    init = unit
                    continue
                if unit.starts_with_key and sum(one.frames for one in held) >= _SEGMENT:
                    assert init is not None
                    yield init, held
                    held = []
                held.append(unit)
    assert init is not None
    yield init, held
