"""A kit as it is: our package on a Debian that systemd boots. See tests/rig/boot.sh."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.records.files import Home
from tests.support.recorders import wait_for

WHY_NOT = os.environ.get("ATTUNE_NO_BOOT") or "only on a booted kit: run tests/rig/boot.sh"
HERE = Path(__file__).parent
UNITS = ("attune-recorder", "attune-web", "attune-sync")


@dataclass(frozen=True)
class Booted:
    """The system inside, seen from outside. Its network is ours."""

    leader: int
    """Process id of its systemd."""
    home: Home
    """As it lies on this machine: what is read of a home is read through no link."""

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.leader}/root")

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command in it as root; returns what it said."""
        inside = ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--pid"]
        done = subprocess.run(
            [*inside, "env", "-i", "PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        if check and done.returncode:
            journal = self.run("journalctl", "--no-pager", "-n", "60", check=False)
            pytest.fail(f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{journal}")
        return done.stdout

    def property(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--value", "--property", name, unit).strip()

    def probe(self, unit: str) -> dict[str, str]:
        """What came of everything that `probe.py` tries inside a unit's own sandbox.

        `unit` is one of ours, or `open`: a unit of root's without any sandbox, in which what is
        tried must succeed.
        """
        lines = ["[Service]", "Type=oneshot"]
        if unit != "open":
            ours = (HERE.parent.parent / "systemd" / f"{unit}.service").read_text()
            service = ours.partition("[Service]")[2].partition("[Install]")[0]
            # What it runs is the probe's; RemoveIPC would take away what the real unit has.
            taken = ("Exec", "Restart", "Type", "Watchdog", "RemoveIPC")
            lines += [line for line in service.splitlines() if not line.startswith(taken)]
        told = self.root / "run/probe"
        told.unlink(missing_ok=True)
        lines += ["ExecStart=/usr/bin/python3 -I /probe.py", "StandardOutput=truncate:/run/probe"]
        (self.root / "run/systemd/system/probe.service").write_text("\n".join(lines) + "\n")
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "start", "probe.service")
        found: dict[str, str] = json.loads(told.read_text())
        return found


@pytest.fixture(scope="session")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """It has booted, and the package is in it, as `apt install` puts it there; no camera is."""
    if not (given := os.environ.get("ATTUNE_BOOT")):
        pytest.skip(WHY_NOT)
    root = Path(given)
    memory = tmp_path_factory.mktemp("memory")
    home = Home(root / "var/lib/attune", memory)
    shutil.copy(HERE / "probe.py", root / "probe.py")
    log = tmp_path_factory.mktemp("boot") / "console"
    with open(log, "wb") as console:
        nspawn = subprocess.Popen(
            # Its name is the machine's; nothing of ours is told to the machine's own systemd.
            [
                *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--link-journal=no"),
                *("--machine=kit", "--capability=CAP_NET_ADMIN", f"--directory={root}", "--boot"),
                f"--bind={memory}:/run/attune",
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )
    try:
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")

        def leader() -> Booted | None:
            assert nspawn.poll() is None, log.read_text(errors="replace")[-2000:]
            for child in children.read_text().split():
                if (Path(f"/proc/{child}/root") / "run/systemd/private").exists():
                    return Booted(int(child), home)
            return None

        inside = wait_for(leader, 120)
        wait_for(
            lambda: (
                inside.run("systemctl", "is-system-running", check=False).strip()
                in ("running", "degraded")
                or None
            ),
            120,
        )
        install(inside)
        yield inside
    finally:
        nspawn.send_signal(signal.SIGTERM)
        try:
            nspawn.wait(20)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()


def install(inside: Booted) -> None:
    """The kit, with a scene for a camera and what a rehearsal needs of a service; as a technician
    would."""
    began = time.monotonic()
    packages = [f"/packages/{path.name}" for path in (inside.root / "packages").iterdir()]
    said = inside.run(
        "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes",
        "--no-install-recommends", *sorted(packages),
    )  # fmt: skip
    print(f"\npackage installed in {time.monotonic() - began:.1f} s")
    assert "attune-kit" in said
    (inside.root / "etc/attune/attune.toml").write_text('camera = "scene"\nsegment_seconds = 5\n')
    inside.run("systemctl", "restart", *UNITS)


def unit_of(booted: Booted, unit: str) -> dict[str, Any]:
    return {
        name: booted.property(unit, name)
        for name in ("ActiveState", "SubState", "NRestarts", "MainPID", "Result")
    }
