"""Devices whose modules are loaded after the recorder has started: systemd asks the kernel once,
when a unit starts, which numbers a kind of device has."""

import json

import pytest

from tests.vm.machine import Machine

CAMERA = ("/dev/video0", "/dev/media0")
SOUND = ("/dev/snd/controlC0",)
MODULES = {CAMERA: "vivid", SOUND: "snd_aloop"}
KINDS = {CAMERA: ("videobuf2_memops", "videodev", "mc"), SOUND: ("snd_timer", "snd")}
"""The kinds, and before them what came with the module and stays when it goes."""


@pytest.mark.parametrize("devices", [CAMERA, SOUND])
def test_a_recorder_opens_what_is_plugged_in_after_it_started(
    kit: Machine, devices: tuple[str, ...]
) -> None:
    assert came_late(kit, devices) == dict.fromkeys(devices, "opened")


@pytest.mark.parametrize("devices", [CAMERA, SOUND])
def test_without_its_kind_at_the_start_it_would_not(kit: Machine, devices: tuple[str, ...]) -> None:
    """The kinds are loaded when the kit starts (systemd/modules.conf), and this is why."""
    kit.run("modprobe", "-r", MODULES[devices], *KINDS[devices])
    assert came_late(kit, devices) == dict.fromkeys(devices, "Operation not permitted")


def came_late(kit: Machine, devices: tuple[str, ...]) -> dict[str, str]:
    """What becomes of devices that come after a recorder has started."""
    kit.run("modprobe", "-r", MODULES[devices])
    kit.ask("recorder_waits_for", devices=devices)
    kit.run("modprobe", MODULES[devices])
    said = kit.ask("until", words=["cat", "/run/attune/recorder/devices"], what="}")
    found: dict[str, str] = json.loads(said)
    return found
