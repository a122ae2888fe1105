"""Shared reviews: what a family and the practitioner saw together, and what they take from it.

A review is a sealed document of the case, written when it is closed. The page shows it as words to
be copied into the written record by hand: nothing of it leaves the kit by itself.
"""

from typing import Annotated, Literal

import msgspec

from appliance.records.files import Fact, Timestamp
from appliance.vault.cases import OpenCase

LOWEST, HIGHEST = 0, 10
"""The scale on which a goal is rated, where the service has set no other."""

GoOn = Literal["yes", "not-now", "no"]


class Rating(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How near a goal is, as the family sees it."""

    goal: str
    text: str
    """The goal as it was worded then."""
    value: Annotated[int, msgspec.Meta(ge=LOWEST, le=HIGHEST)]


class Review(Fact, frozen=True, kw_only=True, tag="review/v1"):
    """One shared review, as it was closed."""

    id: str
    held: Timestamp
    shown: tuple[str, ...]
    """The ids of the moments that had been chosen for it, in order."""
    strengths: str
    next: str
    """What the family wants to try, or look at next time."""
    ratings: tuple[Rating, ...]
    go_on: GoOn


def reviews_of(case: OpenCase) -> list[Review]:
    """Every review of a case, the earliest first."""
    return sorted(case.read_all(Review), key=lambda review: review.held)
