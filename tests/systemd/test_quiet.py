"""What is plugged into a kit that is set up, and what the kernel is told about it.

The script that root runs, on a tree as the kernel's: this machine has no USB.
"""

import subprocess
from pathlib import Path

import pytest

from tests.support.places import SYSTEMD
from tests.support.ports import HUB, KEYBOARD, NETWORK, SOUND, STORAGE, Ports, said

LATER = 15 * 60


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    return Ports(tmp_path)


def test_from_the_start_on_every_port_is_shut_and_what_was_plugged_in_stays(ports: Ports) -> None:
    ports.look()
    for bus in ("usb1", "usb2"):
        assert (ports.devices / bus / "authorized_default").read_text() == "0"
        assert ports.is_inside(bus)
    assert ports.later.read_text() == "0", "of a controller that comes later as well"
    assert ports.is_inside("1-1") and ports.is_inside("1-1.2")


@pytest.mark.parametrize("kind", [STORAGE, KEYBOARD, NETWORK, HUB, SOUND])
def test_what_is_plugged_in_later_stays_outside(ports: Ports, kind: int) -> None:
    """Attack: something is put into a port while nobody looks."""
    ports.look()
    ports.plug("2-1", said(kind, product=2))
    assert "2-1 stays outside" in ports.look()
    assert not ports.is_inside("2-1")


def test_a_microphone_that_came_loose_is_let_in_again(ports: Ports) -> None:
    ports.look()
    ports.pull("1-1.2")
    ports.plug("1-1.3", said(SOUND, SOUND))
    ports.look()
    assert ports.is_inside("1-1.3"), "in another port, too"
    ports.plug("1-1.4", said(SOUND, SOUND, product=2))
    ports.look()
    assert not ports.is_inside("1-1.4"), "another one was not there"


def test_what_came_in_is_not_taken_for_what_was_there_at_the_start(ports: Ports) -> None:
    ports.look()
    ports.ask()
    ports.plug("2-1", said(STORAGE, product=2))
    ports.look()
    ports.pull("2-1")
    ports.ask(ago=LATER)
    ports.plug("2-1", said(STORAGE, product=2))
    ports.look()
    assert not ports.is_inside("2-1")


def test_a_stick_comes_in_while_the_page_asks_for_one_and_not_later(ports: Ports) -> None:
    ports.look()
    ports.ask(ago=LATER)
    ports.plug("2-1", said(STORAGE))
    ports.look()
    assert not ports.is_inside("2-1")
    ports.ask(ago=-LATER)
    ports.look()
    assert not ports.is_inside("2-1"), "nor by a clock that was put back"
    ports.ask()
    ports.look()
    assert ports.is_inside("2-1")


GOOD = said(STORAGE)


@pytest.mark.parametrize(
    "descriptors",
    [
        said(STORAGE, KEYBOARD),
        said(KEYBOARD),
        said(NETWORK, STORAGE),
        said(STORAGE, device=HUB),
        said(STORAGE, device=0xEF),
        GOOD + said(KEYBOARD)[18:],
        said(),
        b"",
        GOOD[:18],
        GOOD[:-1],
        GOOD + b"\0",
        GOOD + b"\0\4",
        GOOD[:27] + bytes([5, 4, 0, 0, 2]),
        GOOD * 2000,
    ],
    ids=[
        *("also a keyboard", "a keyboard", "also a network", "a hub", "by its interfaces"),
        *("a keyboard in another configuration", "nothing", "silent", "no configuration"),
        *("cut off", "with an odd end", "without a length", "short", "endless"),
    ],
)
def test_what_is_more_than_a_stick_or_says_nonsense_stays_outside_when_one_is_asked_for(
    ports: Ports, descriptors: bytes
) -> None:
    """Attack: a stick that types."""
    ports.look()
    ports.ask()
    ports.plug("2-1", descriptors)
    ports.plug("2-2", GOOD)
    ports.look()
    assert not ports.is_inside("2-1")
    assert ports.is_inside("2-2"), "and nobody else waits for it"


def test_a_kit_without_usb_is_left_alone(ports: Ports) -> None:
    for device in list(ports.devices.iterdir()):
        ports.pull(device.name)
    ports.later.unlink()
    assert ports.look() == ""


def test_ports_that_cannot_be_shut_are_a_failure(ports: Ports) -> None:
    (ports.devices / "usb2/authorized_default").unlink()
    (ports.devices / "usb2/authorized_default").mkdir()
    with pytest.raises(subprocess.CalledProcessError):
        ports.look()


# --- The rules beside it --------------------------------------------------------------------------


def test_the_pins_and_the_cameras_memory_are_given_to_the_recorders_groups() -> None:
    recorder = (SYSTEMD / "attune-recorder.service").read_text().splitlines()
    (groups,) = (line for line in recorder if line.startswith("SupplementaryGroups="))
    rules = (SYSTEMD / "attune.udev").read_text().splitlines()
    given = {
        line.split('SUBSYSTEM=="')[1].split('"')[0]: line.split('GROUP="')[1].split('"')[0]
        for line in rules
        if "GROUP=" in line
    }
    assert given == {"gpio": "gpio", "dma_heap": "video"}
    assert set(given.values()) <= set(groups.partition("=")[2].split())


FROM_MODULES = {"media": "mc", "video4linux": "videodev", "alsa": "snd"}
"""Names in /proc/devices that a module brings, on a Pi: drivers/media/mc/mc-devnode.c,
drivers/media/v4l2-core/v4l2-dev.c, sound/core/sound.c."""
BUILT_IN = {"gpiochip", "dma_heap"}


def test_every_name_that_the_recorders_unit_allows_is_there_before_it_starts() -> None:
    recorder = (SYSTEMD / "attune-recorder.service").read_text().splitlines()
    allowed = {
        line.removeprefix("DeviceAllow=char-").split()[0]
        for line in recorder
        if line.startswith("DeviceAllow=")
    }
    assert allowed == FROM_MODULES.keys() | BUILT_IN
    text = (SYSTEMD / "modules.conf").read_text().splitlines()
    assert [line for line in text if not line.startswith("#")] == list(FROM_MODULES.values())


def test_keys_on_a_keyboard_are_no_way_to_the_kernel() -> None:
    assert "kernel.sysrq=0" in (SYSTEMD / "sysctl.conf").read_text().splitlines()


def test_where_there_is_no_recorder_there_is_nothing_to_shut() -> None:
    """A service's own machine masks the recorder, and keeps its keyboard."""
    for unit in SYSTEMD.glob("attune-*"):
        named = "attune-quiet.service" in unit.read_text().replace(".service.d", "")
        assert named == (unit.name in ("attune-recorder.service", "attune.udev"))
    assert "[Install]" not in (SYSTEMD / "attune-quiet.service").read_text()
    assert "attune-quiet" not in (SYSTEMD / "debian/attune-kit.postinst").read_text()
    conditions = (SYSTEMD / "attune-quiet.service").read_text().splitlines()
    for line in ("/var/lib/attune/kit/enrolled.json", "!/usr/lib/attune/no-kit"):
        assert f"ConditionPathExists={line}" in conditions
