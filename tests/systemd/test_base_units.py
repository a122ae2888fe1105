"""Base's units are held to their room, and start what is there."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bases import Base
from tests.support.places import ROOT, SYSTEMD

# Who serves comes first: the other looks whether it does.
UNITS = sorted((SYSTEMD / "base").glob("*.service"), reverse=True)
MOST_EXPOSED = {"attune-base": 2.0, "attune-base-status": 1.8}
"""On systemd's scale from 0 to 10: base may overwrite what kits' accounts made, so more than a
kit's own programs."""

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs systemd-analyze"
)


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_each_and_finds_it_hardly_exposed(unit: Path) -> None:
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for .*: ([0-9.]+)", told.stdout)
    assert found, told.stderr
    assert float(found[1]) <= MOST_EXPOSED[unit.stem], told.stdout
    words = ["systemd-analyze", "verify", "--man=no", str(unit)]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    assert not [
        line
        for line in told.stderr.splitlines()
        if unit.name in line and " is not executable" not in line
    ], told.stderr


def test_what_a_unit_starts_is_there_with_these_options(tmp_path: Path) -> None:
    at_base = Base(tmp_path)
    for unit in UNITS:
        text = unit.read_text()
        (line,) = re.findall("^ExecStart=(.*)$", text, re.MULTILINE)
        for there, here in {
            "/opt/attune/bin/attune": f"{sys.executable} -m appliance",
            "${STORE}": str(at_base.store),
            "/var/lib/attune-base/keys": str(at_base.keys),
            "/run/attune-base": str(tmp_path),
            "/var/lib/attune-base/metrics": str(tmp_path),
            "%d": str(tmp_path),
            " $TELL": "",
        }.items():
            line = line.replace(there, here)
        once = ["--once"] if unit.stem == "attune-base" else []
        done = subprocess.run(
            [*shlex.split(line), *once], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        # A kit's own places are none of base's.
        assert "InaccessiblePaths=-/var/lib/attune " in text
    assert (tmp_path / "attune-base.prom").exists()


def test_the_status_changes_nothing_at_the_store() -> None:
    text = (SYSTEMD / "base" / "attune-base-status.service").read_text()
    assert "ProtectSystem=strict" in text and "/srv" not in text
    assert "CAP_DAC_OVERRIDE" not in text


def test_they_come_with_the_package_of_base_and_with_no_kit() -> None:
    assert not list(SYSTEMD.glob("attune-base*"))
    recipe = (ROOT / "tools" / "package").read_text()
    assert "for unit in systemd/base/*.{service,timer}; do base" in recipe
