"""Which package brings which unit, and which tests need it: a unit that moves is missed here, and
not first where a system boots."""

import re

from tests.support.places import ROOT, SYSTEMD, TESTS

PACKAGES = {"attune-kit": SYSTEMD, "attune-base": SYSTEMD / "base"}
NEEDS = {
    "attune-kit": {
        "appliance": "what doctor says of a unit",
        "boot": "what shuts the ports of a kit, and whose recorder an acceptance takes",
        "stores": "the sender's unit, with the drop-in of docs/stores.md",
        "systemd": "each line of them, where nothing boots",
    },
    "attune-base": {"systemd": "each line of them, where nothing boots"},
}
"""Package -> the folders of tests that name a unit of it, and what for."""
_UNIT = re.compile(r"\battune-[a-z-]+\.(?:service|timer|path)\b")


def units(package: str) -> set[str]:
    kinds = ("*.service", "*.timer", "*.path")
    return {path.name for kind in kinds for path in PACKAGES[package].glob(kind)}


def test_no_unit_comes_with_two_packages_and_each_package_puts_all_of_its_own() -> None:
    kit, base = units("attune-kit"), units("attune-base")
    assert kit and base and not kit & base
    recipe = (ROOT / "tools" / "package").read_text()
    assert "for unit in systemd/*.{service,path,timer}; do" in recipe
    assert "for unit in systemd/base/*.{service,timer}; do" in recipe


def test_each_test_that_names_a_unit_says_which_package_it_needs() -> None:
    brings = {unit: package for package in PACKAGES for unit in units(package)}
    found: dict[str, set[str]] = {package: set() for package in PACKAGES}
    for path in sorted(TESTS.rglob("*.py")):
        for unit in _UNIT.findall(path.read_text()):
            assert unit in brings, f"{path.name} names {unit}, which no package brings"
            found[brings[unit]].add(path.relative_to(TESTS).parts[0])
    for package, folders in found.items():
        assert folders == set(NEEDS[package]), package
