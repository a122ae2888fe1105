"""How the numbered files of a case are called, at home and at the store.

goals-0001.age                            as it was before homes had names
goals-0002-<home>.age                     the home that wrote it, so that two never write one name
goals-0002-<home>-<digest>.age            beside a name that another home had taken at the store

A home is a kit's own directory of sealed files; it is called as its kit is. The digest is the
beginning of the SHA-256 (hex) of the sealed file.
"""

import re
from dataclasses import dataclass

from appliance.records.files import ID, checked_id

_DIGEST = "[0-9a-f]{16}"
_NUMBERED = re.compile(
    rf"(?P<stem>[a-z]+(?:-{ID.pattern})?)-(?P<number>[0-9]{{4}})"
    rf"(?:-(?P<home>{ID.pattern})(?:-(?P<digest>{_DIGEST}))?)?\.age"
)
_BESIDE = re.compile(rf"(?P<stem>[^/.]+?)(?:-(?P<home>{ID.pattern}))?-(?P<digest>{_DIGEST})")


@dataclass(frozen=True)
class Numbered:
    """The name of a numbered file, taken apart."""

    file: str
    stem: str
    """What it is: `goals`, or `clip-<id>` where there are many."""
    number: int
    home: str = ""
    digest: str = ""
    """'' where the file has its own name."""


def numbered(file: str) -> Numbered | None:
    """A file's name taken apart; None for any other."""
    match = _NUMBERED.fullmatch(file)
    if match is None:
        return None
    home, digest = match["home"] or "", match["digest"] or ""
    return Numbered(file, match["stem"], int(match["number"]), home, digest)


def numbered_name(stem: str, number: int, home: str) -> str:
    """What a new file is called; `home` is '' where a home has no name yet. Raises BadFile."""
    return f"{stem}-{number:04}{f'-{checked_id(home)}' if home else ''}.age"


def beside(name: str, home: str, sha256: str) -> str:
    """What an object of this home, with these bytes, is called at a store where its own `name` is
    taken by another. Raises BadFile."""
    folder, slash, file = name.rpartition("/")
    stem, dot, kind = file.partition(".")
    stem = stem.removesuffix(f"-{checked_id(home)}")
    return f"{folder}{slash}{stem}-{home}-{sha256[:16]}{dot}{kind}"


def is_beside(there: str, name: str) -> bool:
    """True if `there` is what an object called `name` may be called beside another."""
    folder, slash, file = there.rpartition("/")
    stem, dot, kind = file.partition(".")
    match = _BESIDE.fullmatch(stem)
    if match is None or not match["home"]:
        return False
    plain = f"{folder}{slash}{match['stem']}"
    return name in (f"{plain}{dot}{kind}", f"{plain}-{match['home']}{dot}{kind}")
