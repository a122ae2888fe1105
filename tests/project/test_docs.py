"""What the documents say is there, is there."""

import re
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tools import rooms

PAGES = sorted(
    [*ROOT.glob("[RC]*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "web_ui" / "guide.md"]
)
NAMES = frozenset(
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    if "node_modules" not in path.parts
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_and_file_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"`(test_\w+?)(\.\.\.)?`", text)
    assert not [
        name
        for name, more in named
        if not (any(n.startswith(name) for n in NAMES) if more else name in NAMES)
    ]
    files = re.findall(r"`((?:tests|systemd|appliance|firmware|web_ui|tools|docs)/[\w./-]+)`", text)
    assert not [name for name in files if not (ROOT / name).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_picture_of_the_rooms_is_what_is_imported() -> None:
    """If this fails: python tools/rooms.py"""
    assert rooms.page() == rooms.PAGE.read_text()
    assert ("web_ui", "appliance.casework") in set(rooms.without_detours(rooms.arrows()))


def test_each_hazard_has_a_number_of_its_own_and_stands_at_its_place() -> None:
    text = (ROOT / "docs" / "hazards.md").read_text()
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
