"""A kit's logs on their way to the service: what was written since the last part, and the notes of
films that were removed, signed by the recorder and sealed to the service.

The logs lie on the kit's card alone otherwise, and go with it. Random ids and codes, no word of a
family; sealed all the same, as they say when a family was filmed.

    kit/outbox/000001.age          a part, in the kit's home
    kits/<kit>/logs/000001.age     the same at the store
"""

import re

import msgspec

from appliance.records.files import Fact

PART_NAME = re.compile(r"[0-9]{6}\.age")
MOST_PARTS = 1_000_000


class Lines(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lines of one process's log, as they stand there."""

    first: int
    """The number of the first."""
    text: str


class LogPart(Fact, frozen=True, kw_only=True, tag="log-part/v1"):
    """What is new. Signed by the recorder, and sealed."""

    kit: str
    number: int
    logs: dict[str, Lines]
    removed: dict[str, str]
    """The signed notes of films that were removed, by the film."""


def part_name(number: int) -> str:
    return f"{number:06}.age"
