"""What only a kernel of its own enforces: devices, memory, the watchdog, the network filter."""

import pytest

from tests.boot.probe import TRIED
from tests.vm.machine import Machine

FORBIDDEN = {
    "open_devices": ("attune-recorder", "attune-web", "attune-sync"),
    # The page may take more: it decodes films that are imported.
    "take_memory": ("attune-recorder", "attune-sync"),
    "start_many": ("attune-recorder", "attune-web", "attune-sync"),
    "call_out": ("attune-recorder", "attune-web"),
    "tune_the_kernel": ("attune-recorder", "attune-web", "attune-sync"),
}
"""What is tried in `tests/boot/probe.py`, and in which units it must not succeed."""


def test_everything_that_is_asked_about_is_tried() -> None:
    assert FORBIDDEN.keys() <= {act.__name__ for act in TRIED}


@pytest.fixture(scope="module")
def probed(machine: Machine) -> dict[str, dict[str, str]]:
    """What came of the attempts in each unit, and in one without a sandbox."""
    machine.run("install", "--directory", "--mode=1777", "/srv/open")
    # The disk itself: its owner lets everybody in, so only the sandbox does not.
    numbers = machine.run("stat", "--format=%Hr %Lr", "/dev/vda").split()
    machine.run("mknod", "--mode=666", "/dev/probe-disk", "b", *numbers)
    machine.run("ip", "route", "add", "203.0.113.0/24", "dev", "lo")
    units = ("open", "attune-recorder", "attune-web", "attune-sync")
    return {unit: machine.ask("probe", unit=unit) for unit in units}


@pytest.mark.parametrize(
    ("attempt", "unit"), [(attempt, unit) for attempt, units in FORBIDDEN.items() for unit in units]
)
def test_a_unit_cannot(probed: dict[str, dict[str, str]], attempt: str, unit: str) -> None:
    assert probed["open"][attempt] == "done", "the probe shows nothing: it fails anywhere"
    assert probed[unit][attempt] != "done"


def test_a_recorder_that_hangs_is_killed_and_starts_anew(machine: Machine) -> None:
    before = machine.ask("status")
    machine.run("systemctl", "kill", "--signal=STOP", "attune-recorder")
    after = machine.ask("shows", since=before["boottime"] + 10)
    restarts = machine.run(
        "systemctl", "show", "--value", "--property=NRestarts", "attune-recorder"
    )
    assert int(restarts) >= 1
    assert after["state"] != "filming"
