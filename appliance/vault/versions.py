"""Which of a document's versions is in force, where several homes may have written some.

In force is what nothing replaces. Each version says by whose home it was written and what it
replaces: the digest of each that was in force there just then. Two homes that did not know of each
other leave two in force: a fork. It stands until a version that replaces both is written.

Pure: what names and headings tell goes in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from appliance.protocol.names import Numbered

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Replaced(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a version replaces."""

    file: str
    """What its file was called there."""
    digest: str
    """SHA-256 (hex) of its signed text; '' where it could not be read."""


@dataclass(frozen=True)
class Version:
    """One version of a document, as its name and heading tell."""

    name: Numbered
    digest: str = ""
    """SHA-256 (hex) of its signed text; '' where it cannot be read."""
    after: tuple[Replaced, ...] = ()
    at: datetime | None = None
    """When it was written, by its home's clock; None for one that says no such thing."""
    numbered_only: bool = False
    """True for one from before homes had names: it replaces what its home numbered lower."""

    @property
    def _age(self) -> tuple[datetime, int, str, str]:
        return self.at or _LONG_AGO, self.name.number, self.name.home, self.digest


def only_in_force(names: Sequence[Numbered]) -> Numbered | None:
    """The one that is in force, where the names alone show that one home wrote them all, one after
    the other; None where the headings must be asked."""
    numbers = {one.number for one in names}
    homes = {one.home for one in names if one.home}
    if len(numbers) < len(names) or len(homes) > 1 or any(one.digest for one in names):
        return None
    # Of before homes had names: the first with a name goes on where those end.
    plain = [one.number for one in names if not one.home]
    named = [one.number for one in names if one.home]
    if plain and named and max(plain) + 1 != min(named):
        return None
    return max(names, key=lambda one: one.number, default=None)


def in_force(versions: Iterable[Version]) -> list[Version]:
    """What nothing replaces, the latest first. Of one version or more there is always one."""
    every = list(versions)
    replaced = [said for one in every for said in one.after]
    digests = {said.digest for said in replaced if said.digest}
    files = {said.file for said in replaced}

    def stands(one: Version) -> bool:
        # Of one that cannot be read, nobody can tell whether it is what a digest speaks of.
        gone = one.digest in digests if one.digest else one.name.file in files
        return not gone and not _overtaken(one, every)

    return sorted(filter(stands, every), key=lambda one: one._age, reverse=True)


def _overtaken(one: Version, every: Sequence[Version]) -> bool:
    """True if a later number of the same home replaces this version, although no digest says so:
    it is from before there were any, or it cannot be read."""
    name = one.name
    if not one.numbered_only:
        followed = (other.name for other in every if other.name.home == name.home)
        return not one.digest and any(
            other.number > name.number and not other.digest for other in followed
        )
    lines: dict[str, list[int]] = {}
    for other in every:
        if other.numbered_only:
            lines.setdefault(other.name.home, []).append(other.name.number)
    return any(
        # A line that lies beside another goes on from what both homes had.
        max(numbers) > name.number and (home == name.home or min(numbers) > name.number)
        for home, numbers in lines.items()
        if home == name.home or not name.home
    )
