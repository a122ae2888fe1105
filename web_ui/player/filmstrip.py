"""The filmstrip of a film, and how loud it is when, sealed to its case.

Both are made once, straight from the sealed film, and can always be made again.
"""

from collections.abc import Callable
from pathlib import Path

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import seal
from appliance.age.unsealing import unseal
from appliance.errors import KitError
from appliance.film.joined import JoinedFilm
from appliance.media.apart import Apart
from appliance.records.files import (
    Fact,
    checked_id,
    from_json,
    read_plain,
    save,
    sync_directory,
    to_json,
)
from appliance.vault.cases import OpenCase

HEIGHT = 72
"""Pixels: twice the height at which it is shown, for screens of high resolution."""
MOST_PICTURES = 120
FEWEST_PICTURES = 12
_PICTURE_SECONDS = 2
_PARTS_A_SECOND = 4
MOST_PARTS = 2700
_STRIP = 0.3
"""The pictures' share of the work; the sound is read from end to end."""


class Filmstrip(Fact, frozen=True, kw_only=True, tag="glance/v1"):
    """What the page draws under a film."""

    film: str
    """The `etag` of the joined film: after a repair the filmstrip is made again."""
    seconds: tuple[float, ...]
    """The second of the film that each picture shows."""
    pictures: tuple[bytes, ...]
    """Small JPEGs from equal parts of the film, in order."""
    loud: bytes
    """How loud each of that many equal parts of the film is, 0 to 255; empty without sound."""


def read_filmstrip(case: OpenCase, recording: str, film: str) -> Filmstrip | None:
    """The filmstrip of a film as it is now; None if there is none that can be read."""
    try:
        data = unseal(read_plain(_path(case, recording)), case.identities)
        strip = from_json(data, Filmstrip)
    except (FileNotFoundError, KitError):
        return None
    return strip if strip.film == film else None


def make_filmstrip(
    film: JoinedFilm,
    case: OpenCase,
    recording: str,
    progress: Callable[[float], None],
    apart: Apart,
) -> None:
    """Make the filmstrip of a film and seal it to its case.

    `progress` is told how far it is, from 0 to 1; what it raises ends the work, and nothing stays.
    """
    length = float(film.seconds)
    count = min(max(int(length / _PICTURE_SECONDS), FEWEST_PICTURES), MOST_PICTURES)
    parts = min(max(int(length * _PARTS_A_SECOND), 1), MOST_PARTS)
    strip = []
    for number, picture in enumerate(apart.filmstrip(film, count, HEIGHT)):
        strip.append(picture)
        progress(_STRIP * number / count)
    loud = bytearray()
    for peak in apart.peaks(film, parts):
        loud.append(peak)
        progress(_STRIP + (1 - _STRIP) * len(loud) / parts)
    made = Filmstrip(
        film=film.etag,
        seconds=tuple(float(second) for second, _picture in strip),
        pictures=tuple(picture for _second, picture in strip),
        loud=bytes(loud),
    )
    path = _path(case, recording)
    for directory in (path.parent.parent, path.parent):
        directory.mkdir(mode=0o750, exist_ok=True)
        sync_directory(directory.parent)
    save(path, seal(to_json(made), [parse_recipient(case.record.recipient)]))


def _path(case: OpenCase, recording: str) -> Path:
    return case.directory.derived / checked_id(recording) / "glance.age"
