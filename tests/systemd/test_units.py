"""Each process is held to its own room by systemd, and the rooms are those of the design."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.records.files import Home
from appliance.selftest.kit import MODULES
from tests.support.places import SYSTEMD

MOST_EXPOSED = 1.5
"""On systemd's scale from 0 to 10."""

MOST_EXPOSED_ONCE = {
    "attune-at-base": 1.5,
    "attune-firewall": 2.0,
    "attune-first-boot": 2.0,
    "attune-quiet": 1.5,
    "attune-upgrade": 4.0,
}
"""Done as root and over at once: at a start, when the page says that the kit is at base or asks for
a stick, when something is plugged in."""
UNITS = [unit for unit in sorted(SYSTEMD.glob("*.service")) if unit.stem not in MOST_EXPOSED_ONCE]
WRITERS = {
    "recorder": ("kit", "recordings", "log/recorder"),
    "web": ("keys", "cases", "permits", "requests/web", "log/web"),
    "sync": ("receipts", "inbox", "requests/sync", "log/sync"),
}

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs systemd-analyze"
)


def test_there_is_a_unit_for_each_process() -> None:
    assert [unit.stem.removeprefix("attune-") for unit in UNITS] == sorted(MODULES)


@needs_systemd
@pytest.mark.parametrize("unit", sorted(SYSTEMD.glob("*.service")), ids=lambda unit: unit.stem)
def test_systemd_finds_each_unit_hardly_exposed(unit: Path) -> None:
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"exposure level for .*: ([0-9.]+)", told.stdout)
    assert found, told.stderr
    assert float(found[1]) <= MOST_EXPOSED_ONCE.get(unit.stem, MOST_EXPOSED), told.stdout


@needs_systemd
@pytest.mark.parametrize(
    "unit",
    sorted([*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.path")]),
    ids=lambda unit: unit.name,
)
def test_systemd_understands_every_line(unit: Path) -> None:
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    # The program is not installed here; everything else must be right.
    assert not [
        line
        for line in told.stderr.splitlines()
        if unit.name in line and "Exec" not in line and " is not executable" not in line
    ], told.stderr


def test_nothing_runs_from_a_program_whose_upgrade_was_cut_off() -> None:
    for unit in UNITS:
        lines = unit.read_text().splitlines()
        assert "ConditionPathExists=!/opt/attune/upgrading" in lines
        (after,) = (line for line in lines if line.startswith("After="))
        assert "attune-upgrade.service" in after.split()


def test_only_the_page_may_look_into_the_keys() -> None:
    for unit in UNITS:
        hidden = "InaccessiblePaths=-/var/lib/attune/keys" in unit.read_text().splitlines()
        assert hidden == (unit.stem != "attune-web")


def test_the_recorder_has_no_network() -> None:
    lines = (SYSTEMD / "attune-recorder.service").read_text().splitlines()
    assert "PrivateNetwork=yes" in lines and "RestrictAddressFamilies=AF_UNIX" in lines


def test_the_page_speaks_with_the_kits_own_two_networks_and_with_nobody_else() -> None:
    lines = (SYSTEMD / "attune-web.service").read_text().splitlines()
    assert "IPAddressDeny=any" in lines
    (allowed,) = (line for line in lines if line.startswith("IPAddressAllow="))
    assert allowed == "IPAddressAllow=localhost 10.55.0.0/24 10.55.1.0/24"


def test_every_directory_belongs_to_its_one_writer() -> None:
    home = Home(Path("/var/lib/attune"), Path("/run/attune"))
    lines = (line.split() for line in (SYSTEMD / "attune.tmpfiles").read_text().splitlines())
    owner = {Path(words[1]): words[3] for words in lines if words and words[0] == "d"}
    for process, rooms in WRITERS.items():
        for room in rooms:
            assert owner[home.root / room] == f"attune-{process}"
        assert owner[home.status(process).parent] == f"attune-{process}"


@pytest.mark.parametrize("process", ["recorder", "sync"])
def test_a_process_that_stands_still_is_ended_and_begins_anew(process: str) -> None:
    lines = (SYSTEMD / f"attune-{process}.service").read_text().splitlines()
    assert "Type=notify" in lines and "Restart=always" in lines
    assert any(line.startswith("WatchdogSec=") for line in lines)
