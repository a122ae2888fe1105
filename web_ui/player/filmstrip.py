"""A film at a glance: its filmstrip and how loud it is when, sealed beside what was mended of it.

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
"""Points: twice what a phone shows of it, for screens of small points."""
MOST_PICTURES = 120
FEWEST_PICTURES = 12
_PICTURE_SECONDS = 2
_PARTS_A_SECOND = 4
MOST_PARTS = 2700
_STRIP = 0.3
"""The filmstrip's share of the work: sound is read from end to end."""


class Glance(Fact, frozen=True, kw_only=True, tag="glance/v1"):
    """What the page draws under a film."""

    film: str
    """The `etag` of the joined film: one that was mended since is looked at again."""
    seconds: tuple[float, ...]
    """Of each picture: the second of the film that it shows."""
    pictures: tuple[bytes, ...]
    """Small JPEGs from equal parts of the film, in order."""
    loud: bytes
    """Of as many equal parts of the film as there are bytes, how loud it is: 0 to 255. Empty for a
    film without sound."""


def read_glance(case: OpenCase, recording: str, film: str) -> Glance | None:
    """The glance of a film as it is now, or None: it was not made, or cannot be read."""
    try:
        data = unseal(read_plain(_path(case, recording)), case.identities)
        glance = from_json(data, Glance)
    except (FileNotFoundError, KitError):
        return None
    return glance if glance.film == film else None


def make_glance(
    film: JoinedFilm,
    case: OpenCase,
    recording: str,
    progress: Callable[[float], None],
    apart: Apart,
) -> None:
    """Look through a film and seal what was seen and heard to its case.

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
    glance = Glance(
        film=film.etag,
        seconds=tuple(float(second) for second, _picture in strip),
        pictures=tuple(picture for _second, picture in strip),
        loud=bytes(loud),
    )
    path = _path(case, recording)
    for directory in (path.parent.parent, path.parent):
        directory.mkdir(mode=0o750, exist_ok=True)
        sync_directory(directory.parent)
    save(path, seal(to_json(glance), [parse_recipient(case.record.recipient)]))


def _path(case: OpenCase, recording: str) -> Path:
    return case.directory.derived / checked_id(recording) / "glance.age"
