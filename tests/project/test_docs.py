"""What the documents say is there, is there."""

import re
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tools import rooms

PAGES = sorted([*ROOT.glob("[RC]*.md"), *(ROOT / "docs").rglob("*.md")])
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


def test_the_image_holds_what_the_package_needs_and_no_scene() -> None:
    guide = (ROOT / "docs/installing.md").read_text()
    config, layer = re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    named = re.search(r"^# X-Env-Layer-Name: (\S+)$", layer, re.MULTILINE)
    assert named and f"  app: {named[1]}\n" in config
    packages, hooks = layer.split("  customize-hooks:\n")
    image = re.findall(r"^    - (\S+)$", packages, re.MULTILINE)
    recipe = (ROOT / "tools/package").read_text()
    control = (ROOT / "systemd/debian/attune-kit.control").read_text()
    wanted = set(re.findall(r"python3-\w+", recipe + control))
    recommended = re.search(r"^Recommends: (.*)$", control, re.MULTILINE)
    assert recommended
    wanted |= set(recommended[1].split(", "))
    assert wanted <= set(image)
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    file = f"attune-kit_{version[1]}_arm64.deb"
    assert f"apt-get install --yes /tmp/{file}" in hooks
    assert file in guide.partition("From a bare card")[2], "installed by hand under the same name"
    assert "scene" not in layer
