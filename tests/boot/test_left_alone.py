"""A kit that is set up, left alone: no login, no Bluetooth, nothing new on its ports.

Before the package's life ends in test_packaged. systemd is the real one; what udev and the kernel
know of USB, pins and memory lies in a tree of its own, because a container has none of them.
"""

import re
import shutil
from collections.abc import Iterator

import pytest

from tests.boot.conftest import Booted
from tests.support.ports import KEYBOARD, SOUND, STORAGE, Ports, said
from tests.support.recorders import wait_for

LOGINS = ("getty@tty1", "autovt@tty4", "serial-getty@ttyAMA0", "console-getty")
NMCLI = """#!/bin/sh
case "$*" in
*DEVICE*) echo wifi:connected:wlan0 ;;
*NAME,TYPE*) echo looks for the networks at base >&2 ;;
*) echo attune-hotspot ;;
esac
"""
"""One radio, which is in the kit's own network and knows no other."""
STAND_IN = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"


@pytest.fixture
def at_home(booted: Booted) -> Iterator[Booted]:
    """A kit that is set up, as families meet it: without the scene that the other tests film."""
    no_kit, enrolled = booted.root / "usr/lib/attune/no-kit", booted.home.kit / "enrolled.json"
    away, made = no_kit.with_name("away"), not enrolled.exists()
    # So that it looks when it is asked to, and not at what this sets up.
    booted.run("systemctl", "stop", "attune-quiet.path", "attune-quiet")
    shutil.rmtree(booted.root / "run/attune-quiet", ignore_errors=True)
    no_kit.rename(away)
    if made:
        enrolled.touch()
    # Debian's own condition for a login on a screen: here is none.
    (booted.root / "dev/tty0").touch()
    # The package's word is about these; what they are is not in a container.
    for unit in ("bluetooth", "hciuart", "serial-getty@"):
        (booted.root / f"run/systemd/system/{unit}.service").write_text(STAND_IN)
    booted.run("systemctl", "daemon-reload")
    yield booted
    away.rename(no_kit)
    if made:
        enrolled.unlink()
    booted.run("systemctl", "stop", "attune-quiet.path", "bluetooth", "hciuart")
    booted.run("systemctl", "unmask", "--runtime", "ctrl-alt-del.target")
    shutil.rmtree(booted.root / "run/attune-quiet", ignore_errors=True)


def begins(booted: Booted, unit: str) -> bool:
    """Whether a start of it comes to anything."""
    booted.run("systemctl", "stop", unit)
    # Whatever it waits for, such as a line that no container has, is not what is asked here.
    booted.run("systemctl", "start", "--no-block", "--job-mode=ignore-dependencies", unit)
    wait_for(lambda: booted.run("systemctl", "list-jobs", unit).startswith("No jobs") or None)
    answer = booted.property(unit, "ConditionResult") == "yes"
    booted.run("systemctl", "stop", unit)
    return answer


@pytest.mark.parametrize("unit", [*LOGINS, "bluetooth", "hciuart"])
def test_a_kit_that_is_set_up_has_no_login_and_no_bluetooth(at_home: Booted, unit: str) -> None:
    assert not begins(at_home, unit)


@pytest.mark.parametrize("unit", [*LOGINS, "bluetooth"])
def test_who_prepares_a_kit_or_has_its_card_is_let_in(at_home: Booted, unit: str) -> None:
    asked = at_home.root / "boot/firmware/attune-login"
    asked.parent.mkdir(parents=True, exist_ok=True)
    asked.touch()
    try:
        assert begins(at_home, unit), "somebody put the file on the card"
    finally:
        asked.unlink()
    enrolled = at_home.home.kit / "enrolled.json"
    enrolled.rename(enrolled.with_name("kept"))
    try:
        assert begins(at_home, unit), "a kit that is new, or was set back"
    finally:
        enrolled.with_name("kept").rename(enrolled)
    (at_home.root / "usr/lib/attune/no-kit").touch()
    try:
        assert begins(at_home, unit), "a computer that is no kit"
    finally:
        (at_home.root / "usr/lib/attune/no-kit").unlink()


@pytest.fixture
def ports(at_home: Booted) -> Iterator[Ports]:
    """The kit's unit, on a tree in place of the kernel's."""
    place = at_home.root / "srv/ports"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    made = Ports(place)
    drop_in = at_home.root / "run/systemd/system/attune-quiet.service.d/tree.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(
        "[Service]\nReadWritePaths=/srv/ports\nBindPaths=/srv/ports/sys/bus:/sys/bus"
        " /srv/ports/sys/module:/sys/module\n"
    )
    at_home.run("systemctl", "daemon-reload")
    yield made
    shutil.rmtree(drop_in.parent)
    at_home.run("systemctl", "daemon-reload")


def look_again(booted: Booted) -> None:
    """As udev has it done when something comes; a look that is under way would be joined."""
    wait_for(lambda: booted.property("attune-quiet", "ActiveState") == "inactive" or None)
    booted.run("systemctl", "start", "attune-quiet")


def test_a_kits_ports_are_shut_as_it_is_set_up_and_open_for_the_stick_that_the_page_asks_for(
    at_home: Booted, ports: Ports
) -> None:
    enrolled = at_home.home.kit / "enrolled.json"
    before = enrolled.read_bytes()
    enrolled.unlink()
    at_home.run("systemctl", "restart", "attune-recorder")
    assert at_home.property("attune-quiet.path", "ActiveState") == "active", "it comes with it"
    assert (ports.devices / "usb1/authorized_default").read_text() == "1\n", "not set up yet"
    enrolled.write_bytes(before)
    wait_for(lambda: (ports.devices / "usb2/authorized_default").read_text() == "0" or None)
    ports.plug("2-1", said(STORAGE))
    ports.plug("2-2", said(KEYBOARD))
    look_again(at_home)
    assert not ports.is_inside("2-1") and not ports.is_inside("2-2")
    web = ("setpriv", "--reuid=attune-web", "--regid=attune", "--clear-groups")
    at_home.run(*web, "touch", "/run/attune/web/stick-asked")
    wait_for(lambda: ports.is_inside("2-1") or None)
    assert not ports.is_inside("2-2")
    ports.pull("1-1.2")
    ports.plug("1-1.2", said(SOUND, SOUND))
    look_again(at_home)
    assert ports.is_inside("1-1.2"), "the microphone that was there at the start"


def test_ctrl_alt_del_ends_no_film(at_home: Booted, ports: Ports) -> None:
    assert at_home.property("ctrl-alt-del.target", "LoadState") == "loaded"
    at_home.run("systemctl", "start", "attune-quiet")
    assert at_home.property("ctrl-alt-del.target", "LoadState") == "masked"
    assert at_home.property("reboot.target", "LoadState") == "loaded"
    assert (
        at_home.run("systemctl", "show", "--value", "--property=CtrlAltDelBurstAction") == "none\n"
    )


def test_nothing_is_shut_on_a_computer_that_is_no_kit(at_home: Booted, ports: Ports) -> None:
    (at_home.root / "usr/lib/attune/no-kit").touch()
    at_home.run("systemctl", "start", "attune-quiet")
    (at_home.root / "usr/lib/attune/no-kit").unlink()
    assert (ports.devices / "usb1/authorized_default").read_text() == "1\n"
    assert at_home.property("ctrl-alt-del.target", "LoadState") == "loaded"


def test_that_the_kit_is_at_base_reaches_what_moves_the_radio(booted: Booted) -> None:
    """Its unit has no capabilities, and the page's directory is the page's."""
    nmcli, said = booted.root / "usr/bin/nmcli", booted.home.at_base
    nmcli.write_text(NMCLI)
    nmcli.chmod(0o755)
    for asked in (False, True):
        said.unlink(missing_ok=True)
        if asked:
            web = ("setpriv", "--reuid=attune-web", "--regid=attune", "--clear-groups")
            booted.run(*web, "touch", "/run/attune/web/at-base.json")
        booted.run("systemctl", "start", "attune-at-base")
        journal = booted.run("journalctl", "--no-pager", "--unit=attune-at-base", "--output=cat")
        assert ("looks for the networks at base" in journal) == asked
    said.unlink()
    nmcli.unlink()


# --- Rules of our own -----------------------------------------------------------------------------


def told_by_udev(booted: Booted, name: str, uevent: str, **attributes: str) -> str:
    """What udev makes of a device that comes, in a tree as the kernel's."""
    tree, subsystem = booted.root / "srv/tree", uevent.partition("SUBSYSTEM=")[2].split("\n")[0]
    shutil.rmtree(tree, ignore_errors=True)
    place = tree / "devices/platform" / name
    place.mkdir(parents=True)
    (tree / "class" / subsystem).mkdir(parents=True)
    (place / "subsystem").symlink_to(f"../../../class/{subsystem}")
    for file, text in {"uevent": uevent, **attributes}.items():
        (place / file).write_text(f"{text}\n")
    ask = f"SYSTEMD_DEVICE_VERIFY_SYSFS=0 udevadm test --action=add /sys/devices/platform/{name}"
    return booted.run("unshare", "--mount", "sh", "-ec", f"mount --bind /srv/tree /sys; {ask} 2>&1")


@pytest.mark.parametrize(
    ("name", "subsystem", "group"),
    [("gpiochip0", "gpio", "gpio"), ("linux,cma", "dma_heap", "video")],
)
def test_udev_gives_pins_and_memory_to_the_recorders_groups(
    booted: Booted, name: str, subsystem: str, group: str
) -> None:
    uevent = f"MAJOR=250\nMINOR=0\nDEVNAME={name}\nSUBSYSTEM={subsystem}"
    number = booted.run("getent", "group", group).split(":")[2]
    told = told_by_udev(booted, name, uevent)
    assert re.search(rf"60-attune\.rules:\d+ GROUP {number}$", told, re.MULTILINE), told
    assert re.search(r"60-attune\.rules:\d+ MODE 0660$", told, re.MULTILINE), told


def test_what_is_plugged_in_and_kept_outside_is_looked_at(booted: Booted) -> None:
    uevent = "MAJOR=189\nMINOR=5\nDEVNAME=bus/usb/001/006\nDEVTYPE=usb_device\nSUBSYSTEM=usb"
    wanted = "SYSTEMD_WANTS=attune-quiet.service"
    assert wanted in told_by_udev(booted, "1-1", uevent, authorized="0")
    assert wanted not in told_by_udev(booted, "1-1", uevent, authorized="1")


def test_udev_understands_every_rule_of_ours(booted: Booted) -> None:
    booted.run("udevadm", "verify", "/usr/lib/udev/rules.d/60-attune.rules")


def test_a_kernel_without_the_modules_starts_all_the_same(booted: Booted) -> None:
    # A container has none; what is missing is said, and is no failure.
    load = "/usr/lib/systemd/systemd-modules-load"
    booted.run(load, "/usr/lib/modules-load.d/attune.conf")
