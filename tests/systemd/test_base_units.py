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


def _asked(tmp_path: Path, name: str, word: str, enabled: bool) -> list[str]:
    """What a maintainer script asks of the system, where an older version was before."""
    said, programs = tmp_path / "said", tmp_path / "programs"
    programs.mkdir()
    answer = f'case "$*" in *is-enabled*) exit {int(not enabled)};; esac'
    for program in ("systemctl", "systemd-sysusers", "systemd-tmpfiles", "find"):
        path = programs / program
        path.write_text(f'#!/bin/sh\necho "{program} $*" >>{said}\n{answer}\n')
        path.chmod(0o755)
    text = (SYSTEMD / "debian" / name).read_text().replace("/run/systemd/system", str(tmp_path))
    done = subprocess.run(
        ["/bin/sh", "-c", text, name, word, "1.0"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{programs}:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return said.read_text().splitlines()


@pytest.mark.parametrize("enabled", [True, False])
def test_an_upgrade_starts_base_again_where_it_is_to_run_and_only_there(
    tmp_path: Path, enabled: bool
) -> None:
    said = _asked(tmp_path, "attune-base.postinst", "configure", enabled)
    verb = "restart" if enabled else "try-restart"
    assert said[-1] == f"systemctl --no-block {verb} attune-base.service"
    assert "systemctl daemon-reload" in said


def test_a_base_that_is_removed_is_stopped_and_does_not_start_when_it_comes_back(
    tmp_path: Path,
) -> None:
    said = _asked(tmp_path, "attune-base.prerm", "remove", enabled=True)
    units = "attune-base.service attune-base-status.timer"
    assert said[:2] == [f"systemctl stop {units}", f"systemctl --quiet disable {units}"]


def test_a_base_that_is_upgraded_stays_enabled(tmp_path: Path) -> None:
    said = _asked(tmp_path, "attune-base.prerm", "upgrade", enabled=True)
    assert not [line for line in said if line.startswith("systemctl")]
