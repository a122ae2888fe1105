"""A consent as people talk it through at a browser, one question a page."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from tests.browser.conftest import Visitor

PARENT, NOBODY, AUTHORITY = (
    "Yes, with parental responsibility",
    "No, only for themselves",
    "Yes, on behalf of a local authority with parental responsibility",
)
IN_TWO_MONTHS = (datetime.now(UTC) + timedelta(days=60)).date()
Given = Literal["Signed on this screen", "Signed on the paper form"]


def nothing(_step: str) -> None:
    """Look at no page."""


def talk_through(
    visitor: Visitor,
    people: Sequence[tuple[str, str, str]] = (("Alex", "mother", PARENT),),
    length: str = "600",
    until: date = IN_TWO_MONTHS,
    no: Sequence[str] = (),
    look: Callable[[str], None] = nothing,
) -> None:
    """From what is read out to the page on which all of it is checked.

    `people`: name, who they are to the child, by what right they answer for it. `length`: seconds,
    as a service offers it or not. `no`: what they say no to, all else is yes. `look` is called on
    each page with the name of its step.
    """
    page = visitor.page
    look("promises")
    visitor.press("I have read this out")
    for number, (name, relation, right) in enumerate(people):
        if number and "/who" not in visitor.path:
            visitor.press("Add another person")
        page.fill("#name", name)
        page.fill("#relation", relation)
        page.get_by_label(right).check()
        if right != NOBODY:
            page.fill("#on_behalf_of", "Robin")
        look("who")
        visitor.press("Continue")
        while "/agree/" in visitor.path:
            purpose = visitor.path.rpartition("/")[2]
            look(f"agree-{purpose}")
            visitor.press("No" if purpose in no else "Yes")
        if "/practical" in visitor.path:
            practical(visitor, length, until)
            look("practical")
            visitor.press("Continue")
    look("check")


def practical(visitor: Visitor, length: str, until: date) -> None:
    """Fill in the page of the practical things."""
    page = visitor.page
    offered = page.locator(f"[name=limit][value='{length}']")
    if offered.count():
        offered.check()
    else:
        page.get_by_label("Another length, in seconds").check()
        page.get_by_label("Seconds", exact=True).fill(length)
    page.get_by_label("Day", exact=True).fill(str(until.day))
    page.get_by_label("Month", exact=True).fill(str(until.month))
    page.get_by_label("Year", exact=True).fill(str(until.year))


def record(visitor: Visitor, given: Given = "Signed on the paper form") -> None:
    """Say that everybody chose it themselves, and record it or go on to sign."""
    visitor.page.get_by_label(given).check()
    visitor.page.get_by_label("Everyone chose this freely").check()
    visitor.press("Record consent")
