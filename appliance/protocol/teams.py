"""Who works with a family, in public: the names of key cards, which say nothing of a person.

A base whose opening key is elsewhere goes by these lists when it judges an order. The kit writes
one whenever the team of a case changes, signed by the practitioner who changes it; the sealed list
in the case stays beside it.

    cases/<case>/team-0001-<digest>

The name has a digest of the content, so that two homes of a case never stand in each other's way.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

from appliance.errors import BadFile
from appliance.records.files import Fact, checked_id
from appliance.records.signing import Signer, Verifier, open_fact, sign_fact

TEAM_NAME = re.compile(r"team-(?P<number>[0-9]{4})-[0-9a-f]{16}")


class CaseTeam(Fact, frozen=True, kw_only=True, tag="case-team/v1"):
    """The people of a case from now on. Signed by one of them."""

    case: str
    number: int
    """Counts up from 1 with each change."""
    members: tuple[str, ...]
    """Names of their signing keys, as on their cards."""


def signed_team(
    signer: Signer, case: str, number: int, members: Iterable[str]
) -> tuple[str, bytes]:
    """A list and the name of its file."""
    names = tuple(sorted(set(members)))
    note = sign_fact(signer, CaseTeam(case=checked_id(case), number=number, members=names)).encode()
    return _name(number, note), note


def read_team(
    name: str, note: str | bytes, case: str, people: Sequence[Verifier]
) -> tuple[CaseTeam, Verifier]:
    """The list of a case in the file of this name, and which of these people signed it. Raises
    BadFile, BadSignature."""
    team, by = open_fact(note, people, CaseTeam)
    data = note.encode() if isinstance(note, str) else note
    if team.case != case or team.number < 1 or name != _name(team.number, data):
        raise BadFile("This list of a case's people belongs elsewhere.")
    return team, by


def ever_in(lists: Iterable[tuple[CaseTeam, Verifier]]) -> set[str]:
    """Everybody who ever worked in a case: those of its first list, and of each that one of them
    signed. A list of their own that somebody else wrote makes them none of it; where there are
    several first ones by different people, nobody is known but who stands in all of them."""
    numbered: dict[int, list[tuple[CaseTeam, str]]] = {}
    for team, by in lists:
        numbered.setdefault(team.number, []).append((team, by.name))
    known: set[str] = set()
    for number in sorted(numbered):
        if known:
            for team, by_name in numbered[number]:
                known |= set(team.members) if by_name in known else set()
            continue
        first = [set(team.members) for team, by_name in numbered[number] if by_name in team.members]
        if not first or not (known := set.intersection(*first)):
            return set()
    return known


def _name(number: int, note: bytes) -> str:
    return f"team-{number:04}-{hashlib.sha256(note).hexdigest()[:16]}"
