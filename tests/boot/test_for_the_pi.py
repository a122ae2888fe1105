"""The package that goes onto the Pi, which no machine of the tests can boot: what lies in it, and
its programs run one at a time on an emulated processor. See tests/rig/boot.sh."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.conftest import HERE, WHY_NOT, Booted

SITE = "opt/attune/lib/python3.13/site-packages"
ELF, AARCH64 = b"\x7fELF", 183
"""The first bytes of any program or library; what stands at byte 18 of one for this processor."""
OF_RASPBERRY_PI_OS = {"gpiozero", "colorzero"}
"""What that system has as packages of its own, in its own versions."""
FOUND_BY_ALTERNATIVES = "/usr/lib/aarch64-linux-gnu/blas:/usr/lib/aarch64-linux-gnu/lapack"
"""Libraries that an installed system links to; here nothing was installed."""


@pytest.fixture(scope="module")
def pi() -> Iterator[Path]:
    """A root for the Pi's processor with the package in it, in which this folder's program lies."""
    if not (given := os.environ.get("ATTUNE_PI")):
        pytest.skip(WHY_NOT)
    program = Path(given) / SITE / "on_the_pi.py"
    shutil.copy(HERE / "on_the_pi.py", program)
    yield Path(given)
    program.unlink()


def run(pi: Path, *words: str, status: int = 0) -> str:
    """What a Python program of the package prints there before it ends with that status."""
    done = subprocess.run(
        [
            *("chroot", pi, "/emulator", "-E", f"LD_LIBRARY_PATH={FOUND_BY_ALTERNATIVES}"),
            *("/opt/attune/bin/python", "-P", *words),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={"LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin"},
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout


def brought(site: Path) -> set[str]:
    """Names and versions of what was installed into a package."""
    return {path.name.removesuffix(".dist-info") for path in site.glob("*.dist-info")}


def test_every_library_in_it_is_made_for_the_pis_processor(pi: Path) -> None:
    made_for = {}
    for path in (pi / SITE).rglob("*"):
        if path.is_file() and not path.is_symlink():
            with open(path, "rb") as file:
                if (head := file.read(20))[:4] == ELF:
                    made_for[path.name] = int.from_bytes(head[18:20], "little")
    assert len(made_for) > 5
    assert {name for name, processor in made_for.items() if processor != AARCH64} == set()


def test_it_has_what_the_package_has_that_is_booted_here(pi: Path, booted: Booted) -> None:
    here, there = brought(pi / SITE), brought(booted.root / SITE)
    assert here
    assert here <= there
    assert {name.partition("-")[0] for name in there - here} <= OF_RASPBERRY_PI_OS


def test_all_of_it_runs_on_that_processor(pi: Path) -> None:
    found = json.loads(run(pi, f"/{SITE}/on_the_pi.py"))
    assert found["processor"] == "aarch64"
    assert found["opened"]
    assert found["loaded"] > 100
    # Raspberry Pi OS has it, Debian has not.
    assert set(found["missing"]) <= {"firmware.cameras.picamera: libcamera"}


def test_the_kit_is_looked_over_there(pi: Path) -> None:
    # Nothing of a kit is there but its program: much is bad, and all of it is said.
    (pi / "opt/attune/attune.toml").touch()
    words = ("/opt/attune/bin/attune", "doctor", "--json", "--config", "/opt/attune/attune.toml")
    told = json.loads(run(pi, *words, status=1))
    assert {"camera", "clock", "certificate"} <= {line["what"] for line in told["findings"]}
