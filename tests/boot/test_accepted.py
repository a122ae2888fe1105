"""The acceptance on a kit that boots: its own units film, and they come back whatever happens."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.protocol.status import RecorderStatus
from appliance.records.files import from_json, load_fact
from appliance.selftest.acceptance import Report
from tests.boot.conftest import Booted
from tests.support.recorders import wait_for

RECORDER = "attune-recorder"
SETTINGS = """\
camera = "scene"
width = 320
height = 180
frame_rate = 10
read_back_pin = 22
"""
COMMAND = "attune hardware --config /etc/attune/trial.toml --report /root/report.json"


@pytest.fixture
def kit(booted: Booted) -> Iterator[Booted]:
    (booted.root / "etc/attune/trial.toml").write_text(SETTINGS)
    booted.run("systemctl", "restart", RECORDER)
    yield booted
    booted.run("systemctl", "restart", RECORDER)


def starts(kit: Booted) -> str:
    """The command line that the unit has."""
    return kit.property(RECORDER, "ExecStart").partition("argv[]=")[2].partition(" ;")[0]


def left(kit: Booted) -> list[str]:
    """What of a run is still here."""
    places = (
        kit.home.root / "acceptance",
        kit.home.run / "acceptance",
        kit.root / f"run/systemd/system/{RECORDER}.service.d",
    )
    return [str(place) for place in places if place.exists()]


def test_a_kit_is_accepted_with_the_recorder_that_is_installed(kit: Booted) -> None:
    before = starts(kit)
    said = kit.run("sh", "-c", f"{COMMAND} --minutes 0.05")
    report = from_json((kit.root / "root/report.json").read_bytes(), Report)
    assert report.ok, said
    assert "Accepted." in said
    assert report.units == "installed"
    assert report.lines[-1].name == "the kit's own recorder is back"
    assert [line.name for line in report.lines if not line.ok] == []
    figures = {one.what: one for one in report.measures}
    # These are of the unit's own group of processes: nothing else of this kit could have filmed.
    for what in (
        *("recorder's share of the processor", "memory of attune-recorder.service"),
        *("press to light", "press to first sealed pictures", "lamp follows its pin"),
        *("card sync, median", "memory of attune-web.service"),
    ):
        assert figures[what].verdict == "good", figures[what]
    # It was installed on a machine that ran, and there is no Pi: nobody takes that for good.
    for what in ("start to ready", "highest temperature", "held back by the firmware"):
        assert figures[what].verdict == "unknown", figures[what]
    assert kit.property(RECORDER, "ActiveState") == "active"
    assert starts(kit) == before
    assert left(kit) == []


@pytest.mark.parametrize(
    ("how", "found"),
    [
        (signal.SIGINT, "active"),
        (signal.SIGHUP, "inactive"),
        (signal.SIGTERM, "active"),
        (signal.SIGKILL, "active"),
    ],
)
def test_a_run_that_is_cut_off_gives_the_kit_its_recorder_back(
    kit: Booted, tmp_path: Path, how: signal.Signals, found: str
) -> None:
    before = starts(kit)
    if found == "inactive":
        kit.run("systemctl", "stop", RECORDER)
    running = begin(kit, tmp_path / "said")
    try:
        status = kit.home.run / "acceptance/recorder/status.json"

        def filming() -> bool | None:
            assert running.poll() is None, (tmp_path / "said").read_text()
            now = load_fact(status, RecorderStatus)
            return (now is not None and now.state == "filming") or None

        wait_for(filming, 60)
        assert starts(kit) != before, "the unit is what films"
        pid = (kit.root / "run/trial.pid").read_text().strip()
        # A minimal Debian has no other kill than the shell's.
        kit.run("sh", "-c", f"kill -{how.value} {pid}")
        running.wait(60)
        wait_for(lambda: (starts(kit) == before and as_found(kit, found)) or None, 60)
    finally:
        running.kill()
        running.wait()
    drop_in = kit.root / f"run/systemd/system/{RECORDER}.service.d"
    assert not drop_in.exists()
    if how is not signal.SIGKILL:
        assert left(kit) == []


def begin(kit: Booted, log: Path) -> "subprocess.Popen[bytes]":
    """The acceptance, in a process of its own whose number stands in /run/trial.pid."""
    inside = ["nsenter", f"--target={kit.leader}", "--mount", "--uts", "--ipc", "--pid"]
    alone = f"echo $$ >/run/trial.pid; exec {COMMAND}"
    with open(log, "wb") as file:
        return subprocess.Popen(
            [*inside, "env", "-i", "PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8", "sh", "-c", alone],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )


def as_found(kit: Booted, found: str) -> bool:
    """Whether the unit is as it was found; one that runs, with the settings that are its own."""
    if kit.property(RECORDER, "ActiveState") != found:
        return False
    pid = kit.property(RECORDER, "MainPID")
    return pid == "0" or "/etc/attune/attune.toml" in kit.run("cat", f"/proc/{pid}/cmdline")
