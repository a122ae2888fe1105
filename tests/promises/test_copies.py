"""What leaves the kit with a family: the chosen moments to the frame, and not a word beside them.

Looked at with other people's tools: ffprobe, ffmpeg and another implementation of age.
"""

import json
import math
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest

from appliance.casework.clips import Kept, Words, say
from appliance.casework.copies import locked, names, opened, plain
from appliance.records.files import Home, new_id
from appliance.vault.cases import Cases, Details, Goal, Goals, OpenCase
from appliance.vault.keys import PrivateKeys
from tests.support import films
from tests.support.moments import keep_clip, keep_still
from tests.support.sticks import Socket
from web_ui.system.usb_sticks import Folder

MADE = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
CANARIES = (
    *("Annabel", "Harbour Lane", "notices when she", "GoPro", "+51.5074-000.1278", "Ubuntu"),
    *("x264", "Lavc", "Lavf", "libav", "2026", "2019"),
)


@pytest.fixture
def case(tmp_path: Path) -> OpenCase:
    home = Home(tmp_path / "home", tmp_path / "run")
    home.prepare(home.cases)
    keys, service = PrivateKeys.generate("practitioner"), PrivateKeys.generate("service")
    details = Details(label="Annabel", check_word="Harbour Lane")
    made = Cases(home).create(details, keys, service.chain, [keys.signer.verifier])
    made.write(Goals(goals=(Goal(id=new_id(), text="notices when she begins"),)))
    return made


def of_the_kit() -> bytes:
    return films.film(60, sound=lambda n: math.sin(n / 10))


def of_somebody_else(tmp_path: Path) -> bytes:
    """A film that says who made it, when and where, as other people's cameras do."""
    made = tmp_path / "theirs.mp4"
    plain_film = tmp_path / "plain.mp4"
    plain_film.write_bytes(
        films.film(60, sound=lambda n: math.sin(n / 10), encoder=films.LIKE_OTHERS)
    )
    told = {
        "title": "Annabel at Harbour Lane",
        "creation_time": "2019-06-01T10:00:00Z",
        "location": "+51.5074-000.1278/",
        "make": "GoPro",
        "encoder": "Ubuntu",
    }
    tags = [part for key, value in told.items() for part in ("-metadata", f"{key}={value}")]
    command = ["ffmpeg", "-v", "error", "-i", plain_film, "-c", "copy", *tags]
    subprocess.run([*command, "-metadata:s:v", "handler_name=GoPro AVC", made], check=True)
    return made.read_bytes()


@dataclass(frozen=True)
class Chosen:
    """Moments of a film: the second from 0:00.5, and the picture at 0:01."""

    case: OpenCase
    film: Path
    kept: tuple[Kept, ...]


@pytest.fixture(params=["the kit's", "somebody else's"])
def chosen(case: OpenCase, tmp_path: Path, request: pytest.FixtureRequest) -> Chosen:
    film = of_the_kit() if request.param == "the kit's" else of_somebody_else(tmp_path)
    path, recording = tmp_path / "film.mp4", new_id()
    path.write_bytes(film)
    kept = keep_clip(case, recording, film, MADE), keep_still(case, recording, film, MADE)
    for one in kept:
        say(case, one.id, Words(note="Annabel notices when she is seen"))
    return Chosen(case, path, kept)


def on_a_stick(chosen: Chosen, tmp_path: Path) -> Path:
    """The copies as they lie on the family's stick."""
    socket = Socket(tmp_path / "socket")
    with Folder(socket.sticks.ready("sda1")) as folder, ExitStack() as files:
        for name, one in zip(names(chosen.kept, locked=False), chosen.kept, strict=True):
            folder.put(
                name, plain(files.enter_context(opened(chosen.case, one)), lambda size: None)
            )
    return socket.place / "copies"


def probed(path: Path) -> dict[str, object]:
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", path]
    done = subprocess.run(command, check=True, capture_output=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def tags_in(found: object) -> Iterator[tuple[str, object]]:
    """Every tag that ffprobe tells of, however deep."""
    if isinstance(found, dict):
        yield from found.get("tags", {}).items()
        for value in found.values():
            yield from tags_in(value)
    elif isinstance(found, list):
        for value in found:
            yield from tags_in(value)


def test_a_copy_says_nothing_of_whom_where_when_or_with_what(
    chosen: Chosen, tmp_path: Path
) -> None:
    place = on_a_stick(chosen, tmp_path)
    assert sorted(path.name for path in place.iterdir()) == ["1.jpg", "1.mp4"]
    for path in place.iterdir():
        data = path.read_bytes()
        assert not [word for word in CANARIES if word.encode() in data]
        assert path.stat().st_mtime == datetime(2000, 1, 1, 12, tzinfo=UTC).timestamp()
        # ffprobe names the brands of the format, and calls a language that nobody named 'und'.
        brands = ("major_brand", "minor_version", "compatible_brands")
        told = {key: value for key, value in tags_in(probed(path)) if key not in brands}
        assert told.pop("language", "und") == "und"
        assert told.pop("vendor_id", "[0][0][0][0]") == "[0][0][0][0]"
        assert told == {}


def frame_times(film: Path) -> list[str]:
    """When each frame of a film is shown, in seconds."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries"]
    asked = [*command, "frame=pts_time", "-of", "csv=p=0", film]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()


def number_in(picture: bytes) -> int:
    """The number that `tests.support.films` painted in 16 blocks of 16 points."""
    row = picture[8 * films.WIDTH :][: films.WIDTH]
    return int("".join(str(int(point > 128)) for point in row[8::16]), 2)


def test_a_copy_begins_and_ends_at_its_frames_and_holds_no_other(
    chosen: Chosen, tmp_path: Path
) -> None:
    film = on_a_stick(chosen, tmp_path) / "1.mp4"
    # Edit lists ignored: whatever was hidden would be shown.
    command = ["ffmpeg", "-v", "error", "-ignore_editlist", "1", "-i", film, "-fps_mode"]
    shown = ["passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    done = subprocess.run([*command, *shown], check=True, capture_output=True)
    size = films.WIDTH * films.HEIGHT
    pictures = [done.stdout[at : at + size] for at in range(0, len(done.stdout), size)]
    times = [float(time.rstrip(",")) for time in frame_times(chosen.film)]
    # The first is the one that stands at the first mark, which is seen from there on.
    stands = max(number for number, time in enumerate(times) if time < 0.501)
    expected = [number for number, time in enumerate(times) if number >= stands and time < 1.5]
    assert [number_in(picture) for picture in pictures] == expected
    assert len(expected) == 30 + (times[stands] < 0.5)


def test_a_locked_copy_opens_with_its_words_in_another_program(
    chosen: Chosen, tmp_path: Path
) -> None:
    for one in chosen.kept:
        with opened(chosen.case, one) as reader:
            _size, pieces = locked(reader, "lobe kadu fine", lambda size: None)
            sealed = b"".join(pieces)
        with opened(chosen.case, one) as reader:
            assert pyrage.passphrase.decrypt(sealed, "lobe kadu fine") == reader.read()
