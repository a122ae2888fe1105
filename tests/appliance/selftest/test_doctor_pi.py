"""What the doctor says of a Pi's radio, cable, memory, libraries and power."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.protocol.status import AtBase
from appliance.records.files import save_fact
from appliance.selftest.doctor import examine
from appliance.selftest.doctor_pi import (
    LEAST_CAMERA_MEMORY,
    cable,
    camera_memory,
    libraries,
    ports,
    throttling,
    wifi,
)
from appliance.selftest.findings import Finding, Machine, driver
from tests.appliance.selftest.test_doctor import CLOCK, Kit, put, running

OF_A_PI = {"Wi-Fi", "USB cable", "camera memory", "speed", "ports"}


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def lines_of(kit: Kit) -> list[Finding]:
    """Of all that the doctor says, the lines that are asked about here."""
    machine, config = kit.machine, kit.config
    return [
        *(*wifi(config, machine), *cable(machine), *camera_memory(machine), libraries(machine)),
        *(*throttling(machine), *ports(config, machine)),
    ]


def found_in(kit: Kit, what: str) -> Finding:
    (finding,) = [found for found in lines_of(kit) if found.what == what]
    return finding


def has(kit: Kit, what: str) -> bool:
    return any(found.what == what for found in lines_of(kit))


def says(kit: Kit, program: str, last: str, answer: str | None) -> None:
    """Let a command answer otherwise than on a kit that is well."""

    def asked(command: Sequence[str]) -> str | None:
        return answer if (command[0], command[-1]) == (program, last) else running(command)

    kit.machine = replace(kit.machine, ask=asked)


def test_a_computer_that_is_no_pi_has_none_of_these_lines(kit: Kit) -> None:
    kit.machine = Machine(kit.root.parent / "empty", CLOCK, lambda _: None, lambda _: True)
    assert not OF_A_PI & {found.what for found in examine(kit.config, kit.machine)}


def test_the_kernel_says_which_driver_an_interface_has() -> None:
    """For real: this machine's own, whichever it has."""
    assert driver("no-such-interface") == ("", "")
    for place in Path("/sys/class/net").glob("*/device/driver"):
        name, _firmware = driver(place.parents[1].name)
        assert name in ("", place.resolve().name, place.resolve().name.replace("-", "_"))


# --- Wi-Fi ----------------------------------------------------------------------------------------


def test_a_radio_whose_program_gives_nobody_a_word_makes_no_kit(kit: Kit) -> None:
    zero = replace(kit.machine, driver=lambda radio: ("brcmfmac", "9.88.4.77 (test) (43436b0)"))
    kit.machine = zero
    found = found_in(kit, "Wi-Fi")
    assert found.verdict == "bad" and "BCM43430/2" in found.saw
    assert "cannot be a kit without a USB radio" in found.do
    put(kit.root, "/sys/class/net/wlan1/phy80211/index", "1\n")
    assert found_in(kit, "Wi-Fi").verdict == "good", "with a second radio it can"


@pytest.mark.parametrize(("how", "do"), [("soft", "do_wifi_country"), ("hard", "Switch it on")])
def test_a_radio_that_is_off_is_told_with_what_to_do(kit: Kit, how: str, do: str) -> None:
    put(kit.root, f"/sys/class/rfkill/rfkill1/{how}", "1\n")
    found = found_in(kit, "Wi-Fi")
    assert found.verdict == "bad" and do in found.do
    put(kit.root, "/sys/class/rfkill/rfkill1/type", "bluetooth\n")
    assert found_in(kit, "Wi-Fi").verdict == "good", "no radio of ours"


@pytest.mark.parametrize("told", [None, "", "country 00: DFS-UNSET\n", "country gb: x\n", "GB"])
def test_a_radio_without_a_country_is_told(kit: Kit, told: str | None) -> None:
    says(kit, "iw", "get", told)
    for given in ("", "00", "gb", "GBR"):
        put(kit.root, "/sys/module/cfg80211/parameters/ieee80211_regdom", given)
        assert found_in(kit, "Wi-Fi").verdict == "bad", given
        assert "do_wifi_country" in found_in(kit, "Wi-Fi").do
    put(kit.root, "/sys/module/cfg80211/parameters/ieee80211_regdom", "GB\n")
    assert found_in(kit, "Wi-Fi").verdict == "good"


def test_a_network_that_is_not_there_is_told_unless_the_kit_is_at_base(kit: Kit) -> None:
    says(kit, "nmcli", "--active", "Office\nattune-hotspot-2\n")
    assert found_in(kit, "Wi-Fi").verdict == "bad"
    now = CLOCK.read()
    kit.home.at_base.parent.mkdir(parents=True)
    save_fact(kit.home.at_base, AtBase(boot=now.boot, boottime=now.boottime))
    assert found_in(kit, "Wi-Fi").verdict == "good"
    says(kit, "nmcli", "--active", None)
    assert "NetworkManager" in found_in(kit, "Wi-Fi").saw
    assert "secret" not in str(lines_of(kit))


# --- The cable to a laptop ------------------------------------------------------------------------


def test_a_cable_to_a_charger_is_no_laptop(kit: Kit) -> None:
    assert "A laptop" in found_in(kit, "USB cable").saw
    put(kit.root, "/sys/class/udc/fe980000.usb/state", "not attached\n")
    found = found_in(kit, "USB cable")
    assert found.verdict == "good" and "charger" in found.saw


@pytest.mark.parametrize("devices", [None, "", "usb0:unmanaged\n", "usb0\n", "wlan0:connected\n"])
def test_a_cable_that_is_left_alone_is_told(kit: Kit, devices: str | None) -> None:
    says(kit, "nmcli", "device", devices)
    assert found_in(kit, "USB cable").verdict == "bad"


def test_a_kit_that_is_no_network_adapter_has_no_line_unless_it_was_told_to_be_one(
    kit: Kit,
) -> None:
    (kit.root / "sys/class/net/usb0/operstate").unlink()
    (kit.root / "sys/class/net/usb0").rmdir()
    assert not has(kit, "USB cable")
    put(kit.root, "/proc/cmdline", "rootwait modules-load=dwc2,g_ether init_on_free=1\n")
    assert found_in(kit, "USB cable").verdict == "bad"
    assert "dwc2" in found_in(kit, "USB cable").do


def test_a_telephone_that_is_plugged_in_is_no_cable_of_ours(kit: Kit) -> None:
    (kit.root / "sys/class/udc/fe980000.usb/state").unlink()
    (kit.root / "sys/class/udc/fe980000.usb").rmdir()
    assert not has(kit, "USB cable")


# --- The camera's memory and software -------------------------------------------------------------


def memory(kit: Kit, total: object, free: object) -> None:
    text = f"MemAvailable: 900000 kB\nCmaTotal: {total} kB\nCmaFree: {free} kB\n"
    put(kit.root, "/proc/meminfo", text)


def test_too_little_for_the_camera_is_told(kit: Kit) -> None:
    least = LEAST_CAMERA_MEMORY >> 10
    for total, free, verdict in (
        (least, least, "good"),
        (least - 1, least - 1, "bad"),
        (4 * least, least // 2, "good"),
        (4 * least, least // 2 - 1, "look"),
    ):
        memory(kit, total, free)
        assert found_in(kit, "camera memory").verdict == verdict
    memory(kit, 0, 0)
    assert not has(kit, "camera memory"), "this kernel keeps none"
    for nonsense in ("much", "-5", "9" * 13, "1 2"):
        memory(kit, nonsense, nonsense)
        assert not has(kit, "camera memory")


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ("installed 0.3.37-1", "good"),
        ("installed 0.10.0-1", "good"),
        ("installed 1.0.0", "good"),
        ("installed 1:0.3.38-1+rpt1", "good"),
        ("installed 0.3.36-1", "bad"),
        ("installed 0.3.4", "bad"),
        ("installed 0.2.99999", "bad"),
        ("installed newest", "bad"),
        ("config-files 0.3.38-1", "bad"),
        ("installed ", "bad"),
        ("", "bad"),
        (None, "bad"),
    ],
)
def test_a_picamera2_that_films_nothing_is_refused_in_words(
    kit: Kit, told: str | None, verdict: str
) -> None:
    says(kit, "dpkg-query", "python3-picamera2", told)
    found = found_in(kit, "camera software")
    assert found.verdict == verdict
    assert ("apt-get install python3-picamera2" in found.do) == (verdict == "bad")


def test_the_libcamera_that_films_is_named(kit: Kit) -> None:
    assert "libcamera 0.7.1+rpt20260901-1." in found_in(kit, "camera software").saw
    says(kit, "dpkg-query", "libcamera0*", None)
    assert "libcamera unknown" in found_in(kit, "camera software").saw


# --- Power ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "verdict", "words"),
    [
        ("0", "good", "not slowed down"),
        ("1", "bad", "voltage is too low"),
        ("50005", "bad", "voltage is too low, it is slowed down"),
        ("50000", "look", "Not long ago"),
        ("0x80000", "look", "so warm"),
        ("20002", "bad", "lower speed"),
    ],
)
def test_what_the_pi_did_against_low_voltage_and_heat_is_told(
    kit: Kit, flags: str, verdict: str, words: str
) -> None:
    put(kit.root, "/sys/devices/platform/soc/soc:firmware/get_throttled", f"{flags}\n")
    found = found_in(kit, "speed")
    assert found.verdict == verdict and words in found.saw


@pytest.mark.parametrize("flags", ["", "none", "-1", "123456789", "0x", "1_0"])
def test_flags_that_nobody_understands_are_not_taken_for_well(kit: Kit, flags: str) -> None:
    put(kit.root, "/sys/devices/platform/soc/soc:firmware/get_throttled", flags)
    assert not has(kit, "speed")


# --- Ports ----------------------------------------------------------------------------------------


def test_a_kit_that_is_set_up_and_takes_whatever_is_plugged_in_is_told(kit: Kit) -> None:
    put(kit.root, "/sys/bus/usb/devices/usb2/authorized_default", "1\n")
    assert "attune-quiet" in found_in(kit, "ports").do
    put(kit.root, "/boot/firmware/attune-login")
    assert "rm /boot/firmware/attune-login" in found_in(kit, "ports").do
    kit.home.enrolled.unlink()
    assert not has(kit, "ports"), "it is not set up yet"
