"""The package on a system that boots: its units, its sandboxes, and a whole visit through them."""

import re
import time
from pathlib import Path

import pytest

from appliance.config import Config
from appliance.records.files import Home
from appliance.selftest.browser import Page
from appliance.selftest.kit import Kit, Process
from appliance.selftest.rehearsal import Rehearsal
from appliance.selftest.seen import Step
from tests.boot.conftest import UNITS, Booted, unit_of
from tests.boot.probe import TRIED
from tests.support.recorders import wait_for

READY_WITHIN = 6.0
"""Seconds from the start of the units to a kit that films and a page that answers."""
WATCHDOG = 10.0
MOST_MEMORY = 140
"""MiB (PSS) that recorder and page may take while nobody asks anything of them."""


def page(booted: Booted) -> Page:
    certificate = booted.home.keys / "tls.crt"
    wait_for(lambda: certificate.exists() or None)
    found = Page("https://127.0.0.1:8443", certificate)
    wait_for(found.answers)
    return found


def test_the_units_are_up_and_the_page_answers_over_tls(booted: Booted) -> None:
    for unit in UNITS[:2]:
        assert unit_of(booted, unit)["ActiveState"] == "active", booted.run(
            "journalctl", "--no-pager", "--unit", unit
        )
    assert page(booted).get("/").status == 200


def test_a_kit_is_ready_within_six_seconds(booted: Booted) -> None:
    took = []
    for _ in range(3):
        booted.run("systemctl", "stop", *UNITS)
        booted.home.status("recorder").unlink(missing_ok=True)
        began = time.monotonic()
        booted.run("systemctl", "start", "--no-block", *UNITS[:2])
        wait_for(lambda: booted.home.status("recorder").exists() or None)
        page(booted)
        took.append(time.monotonic() - began)
    print(f"\nfrom the units' start to ready: {', '.join(f'{one:.1f} s' for one in took)}")
    # The best of three: a machine that tests something else beside it is no slow kit.
    assert min(took) <= READY_WITHIN


def test_an_idle_kit_takes_little_memory(booted: Booted) -> None:
    page(booted)
    taken: dict[str, int] = {}
    for unit in UNITS[:2]:
        group = booted.property(unit, "ControlGroup")
        pids = booted.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").split()
        for pid in pids:
            said = booted.run("cat", f"/proc/{pid}/smaps_rollup")
            found = re.search(r"^Pss: +(\d+) kB", said, re.MULTILINE)
            assert found
            taken[f"{unit} {pid}"] = int(found[1]) / 1024
    each = ", ".join(f"{process} {mib:.0f}" for process, mib in taken.items())
    print(f"\nrecorder and page, idle: {sum(taken.values()):.0f} MiB: {each}")
    assert sum(taken.values()) <= MOST_MEMORY


# --- What is forbidden ----------------------------------------------------------------------------

FORBIDDEN = {
    "write_anywhere": UNITS,
    "change_the_program": UNITS,
    "read_homes": UNITS,
    "read_what_others_left": UNITS,
    "read_keys": ("attune-recorder", "attune-sync"),
    "read_signing_key": ("attune-web", "attune-sync"),
    "write_recordings": ("attune-web", "attune-sync"),
    "write_permits": ("attune-recorder", "attune-sync"),
    "speak_to_the_network": ("attune-recorder",),
    "hear_all_packets": UNITS,
    "see_other_processes": UNITS,
    "make_a_namespace": UNITS,
    "change_personality": UNITS,
    "take_real_time": UNITS,
    "take_priority": UNITS,
    "name_the_host": UNITS,
    "make_a_control_group": UNITS,
    "make_setuid": UNITS,
    "become_root": UNITS,
    "leave_a_core": UNITS,
    "trace_others": UNITS,
    "mount_something": UNITS,
    "change_root": UNITS,
}
"""What is tried in `probe.py`, and in which units it must not succeed.

The rest of what it tries cannot succeed here even without a sandbox, or not be held back: a
container has no kernel of its own.
"""

ALLOWED = {
    "write_recordings": "attune-recorder",
    "write_permits": "attune-web",
    "read_keys": "attune-web",
    "speak_to_the_network": "attune-web",
}
"""What one unit is there for, which its sandbox must not be in the way of."""


def test_everything_that_is_asked_about_is_tried() -> None:
    assert FORBIDDEN.keys() | ALLOWED.keys() <= {act.__name__ for act in TRIED}


@pytest.fixture(scope="module")
def probed(booted: Booted) -> dict[str, dict[str, str]]:
    """What came of the attempts in each unit, and in one without a sandbox."""
    booted.run("install", "--directory", "--mode=1777", "/srv/open", "/home/visitor")
    (booted.root / "home/visitor/letter").write_text("a letter")
    (booted.root / "tmp/left-behind").write_text("left")
    booted.run("install", "--mode=4755", "/usr/bin/id", "/srv/become-root")
    return {unit: booted.probe(unit) for unit in ("open", *UNITS)}


@pytest.mark.parametrize(
    ("attempt", "unit"), [(attempt, unit) for attempt, units in FORBIDDEN.items() for unit in units]
)
def test_a_unit_cannot(probed: dict[str, dict[str, str]], attempt: str, unit: str) -> None:
    assert probed["open"][attempt] == "done", "the probe shows nothing: it fails anywhere"
    assert probed[unit][attempt] != "done"


@pytest.mark.parametrize(("attempt", "unit"), ALLOWED.items())
def test_a_unit_can_do_its_work(probed: dict[str, dict[str, str]], attempt: str, unit: str) -> None:
    assert probed[unit][attempt] == "done"


# --- What a kit does ------------------------------------------------------------------------------


class OnUnits(Kit):
    """A kit whose processes are the system's own units."""

    def __init__(self, booted: Booted, logs: Path) -> None:
        home = booted.home
        super().__init__(Config(home=str(home.root), run=str(home.run), camera="scene"), logs)
        self._booted = booted

    def start(self, process: Process, *options: str) -> None:
        self._booted.run("systemctl", "start", f"attune-{process}")

    def pull_the_plug(self, process: Process) -> None:
        self._booted.run("systemctl", "kill", "--signal=KILL", f"attune-{process}")


class Visit(Rehearsal):
    """A rehearsal on a kit that was there before it; sending is for who has a service."""

    def on(self, booted: Booted, logs: Path) -> None:
        self.kit = OnUnits(booted, logs)
        self.home: Home = self.kit.home

    def _visit(self) -> None:
        for act in (
            self.make_keys, self.start, self.set_up, self.unlock, self.press_unarmed,
            self.make_case, self.arm, self.film_and_press, self.film_to_limit,
            self.pull_the_plug, self.mend, self.play, self.cut, self.search_for_secrets,
            self.withdraw,
        ):  # fmt: skip
            self.step(act.__name__, act)


def test_a_whole_visit_goes_through_the_units(booted: Booted, tmp_path: Path) -> None:
    page(booted)
    steps: list[Step] = []
    visit = Visit(tmp_path, None, 8, [], steps.append)
    visit.on(booted, tmp_path / "logs")
    assert visit.run(), steps[-1]
    assert len(steps) == 15


def test_a_rehearsal_runs_on_the_installed_kit(booted: Booted) -> None:
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "HOME=/tmp")
    said = booted.run(*nobody, "attune", "rehearse")
    print(f"\n{said.strip().splitlines()[-1]}")


def test_a_recorder_that_hangs_is_killed_and_starts_anew(booted: Booted) -> None:
    before = unit_of(booted, "attune-recorder")
    began = time.monotonic()
    booted.run("systemctl", "kill", "--signal=STOP", "attune-recorder")
    wait_for(lambda: unit_of(booted, "attune-recorder")["NRestarts"] != before["NRestarts"] or None)
    took = time.monotonic() - began
    print(f"\na hanging recorder was replaced after {took:.1f} s")
    assert 0.5 * WATCHDOG < took < 2.5 * WATCHDOG
    wait_for(lambda: unit_of(booted, "attune-recorder")["ActiveState"] == "active" or None)


def test_what_dies_again_and_again_is_started_every_time(booted: Booted) -> None:
    # By itself systemd gives up after five starts in ten seconds.
    for unit in UNITS[:2]:
        for _ in range(7):
            before = unit_of(booted, unit)["NRestarts"]
            booted.run("systemctl", "kill", "--signal=KILL", unit)
            wait_for(lambda u=unit, b=before: unit_of(booted, u)["NRestarts"] != b or None)
        wait_for(lambda u=unit: unit_of(booted, u)["ActiveState"] == "active" or None)
