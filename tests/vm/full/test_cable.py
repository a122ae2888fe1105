"""The cable to a laptop: a gadget in a socket, both the kernel's; real udev, NetworkManager."""

from collections.abc import Iterator

import pytest

from tests.vm.machine import Machine

OURS = "/usr/lib/NetworkManager/conf.d/60-attune-usb.conf"
ASIDE = "/root/60-attune-usb.conf"
KIT = "10.55.1.1"


def plug_in(kit: Machine) -> None:
    kit.run("modprobe", "dummy_hcd")
    kit.run("modprobe", "g_ether")
    kit.run("udevadm", "settle")


@pytest.fixture(scope="module")
def laptop(kit: Machine) -> Iterator[dict[str, str]]:
    """A laptop with a way to the internet of its own, at the other end of the cable; what it was
    offered there."""
    plug_in(kit)
    kit.ask("connected", interface="usb0", connection="attune-usb")
    kit.run("ip", "netns", "add", "laptop")
    kit.run("ip", "-netns", "laptop", "link", "add", "home", "type", "dummy")
    kit.run("ip", "-netns", "laptop", "address", "add", "192.0.2.2/24", "dev", "home")
    kit.run("ip", "-netns", "laptop", "link", "set", "home", "up")
    kit.run("ip", "-netns", "laptop", "route", "add", "default", "via", "192.0.2.1")
    # Which of its drivers takes the kit, and what it names it, is the laptop's affair.
    found = "ls /sys/bus/usb/devices/*/net 2>/dev/null || true"
    end = kit.ask("until", words=["sh", "-c", found], what="\n").strip()
    kit.run("ip", "link", "set", end, "netns", "laptop", "name", "kit")
    yield kit.ask("there", whose="laptop", act="lease", interface="kit")
    kit.run("modprobe", "-r", "g_ether")


def test_a_laptop_on_the_cable_opens_the_page(kit: Machine, laptop: dict[str, str]) -> None:
    assert laptop["ip"].startswith("10.55.1.")
    page = kit.ask("there", whose="laptop", act="opens", address=f"https://{KIT}")
    assert page["status"] == 200 and "Set up this kit" in page["text"]


def test_the_laptop_keeps_its_own_way_to_the_internet(kit: Machine, laptop: dict[str, str]) -> None:
    assert "router" not in laptop and "dns" not in laptop
    routes = kit.run("ip", "-netns", "laptop", "route", "show", "default")
    assert routes.split() == ["default", "via", "192.0.2.1", "dev", "home"]


def test_without_our_word_udev_has_networkmanager_leave_the_cable_alone(
    kit: Machine, laptop: dict[str, str]
) -> None:
    """What was wrong once: the tests above show something."""

    def plug_in_again(moved: str, to: str) -> None:
        kit.run("modprobe", "-r", "g_ether")
        kit.run("mv", moved, to)
        kit.run("nmcli", "general", "reload")
        plug_in(kit)

    plug_in_again(OURS, ASIDE)
    devices = ["nmcli", "--terse", "--fields", "DEVICE,STATE", "device"]
    kit.ask("until", words=devices, what="usb0:unmanaged\n")
    plug_in_again(ASIDE, OURS)
    kit.ask("connected", interface="usb0", connection="attune-usb")
