"""Until when the films of a family are kept, as far as the service knows, and what it removed.

A kit says the day, and no more, once the work has ended, every film was looked at together and the
page has warned of it; where that changes, the next number says so. Signed by a practitioner of the
case. Random ids and a date: no word of a family.

    cases/<case>/keep-0001-<kit>    at the store, and in the kit's home
    purged/<case>                   what the service removed, signed by it
"""

import re
from typing import Literal

from appliance.errors import BadFile
from appliance.records.files import ID, CaseFolder, Fact, Timestamp, paths_in, read_text
from appliance.records.signing import fact_in

KEEP_NAME = re.compile(rf"keep-(?P<number>[0-9]{{4}})-(?P<kit>{ID.pattern})")


class Keep(Fact, frozen=True, kw_only=True, tag="keep/v1"):
    """What a kit knows of the day on which a case's films may go. Signed by its practitioner."""

    case: str
    kit: str
    number: int
    until: Timestamp | None
    """None: the work goes on again, or something waits for a person."""
    at: Timestamp


class Purged(Fact, frozen=True, kw_only=True, tag="purged/v1"):
    """Everything of a closed case is gone from the store. Signed by the service."""

    case: str
    at: Timestamp
    objects: int
    bytes: int
    why: Literal["withdrawn", "kept-long-enough"]


def keep_name(number: int, kit: str) -> str:
    return f"keep-{number:04}-{kit}"


def purged_object(case: str) -> str:
    return f"purged/{case}"


def newest_keep(case: CaseFolder, kit: str) -> Keep | None:
    """What this kit said last; None if it never did. Raises BadFile."""
    names = [path for path in paths_in(case, KEEP_NAME) if path.name.endswith(f"-{kit}")]
    if not names:
        return None
    keep = fact_in(read_text(names[-1]), Keep)
    if keep_name(keep.number, keep.kit) != names[-1].name or keep.case != case.name:
        raise BadFile("This says of another case until when it is kept.")
    return keep
