"""The Wi-Fi of the kit's own, on a kernel's radio: the real NetworkManager, wpa_supplicant, dnsmasq
and nftables, and people with radios of their own. What a chip gets wrong, no such radio shows.
"""

import tomllib

import pytest

from tests.vm.machine import Machine

KIT, WORLD = "10.55.0.1", "203.0.113.2"
HOTSPOT, OFFICE, OFFICE_KEY = "attune-hotspot", "Office", "a key of the office"
STRANGE = [22, 53, 80, 5000]
"""Ports at which the kit listens here, and which are nobody's business."""
AT_BASE = "/run/attune/web/at-base.json"


@pytest.fixture(scope="module")
def label(kit: Machine) -> dict[str, str]:
    kit.ask("connected", interface="wlan0", connection=HOTSPOT)
    return tomllib.loads(kit.run("cat", "/etc/attune/label.toml"))


def join(kit: Machine, whose: str, interface: str, label: dict[str, str]) -> dict[str, str]:
    """Join with what stands on the label; what was offered with the address."""
    known = {"ssid": label["ssid"], "key": label["key"]}
    kit.ask("there", whose=whose, act="radio", interface=interface, **known)
    offered: dict[str, str] = kit.ask("there", whose=whose, act="lease", interface=interface)
    return offered


@pytest.fixture(scope="module")
def guest(kit: Machine, label: dict[str, str]) -> dict[str, str]:
    return join(kit, "guest", "wlan1", label)


@pytest.fixture(scope="module")
def world(kit: Machine) -> None:
    """A network that the kit itself reaches; and strange ports, open there and on the kit."""
    kit.run("ip", "netns", "add", "world")
    kit.run("ip", "link", "add", "world0", "type", "veth", "peer", "eth0", "netns", "world")
    kit.run("ip", "address", "add", "203.0.113.1/24", "dev", "world0")
    kit.run("ip", "link", "set", "world0", "up")
    kit.run("ip", "-netns", "world", "address", "add", f"{WORLD}/24", "dev", "eth0")
    kit.run("ip", "-netns", "world", "link", "set", "eth0", "up")
    kit.ask("there", whose="world", act="listens", ports=[80])
    kit.ask("listens", ports=[port for port in STRANGE if port != 53])


def test_who_has_the_label_joins_and_opens_the_page(
    kit: Machine, label: dict[str, str], guest: dict[str, str]
) -> None:
    """The system came with NetworkManager's Wi-Fi switched off: the first start switched it on."""
    assert guest["ip"].startswith("10.55.0.") and guest["mask"] == "24"
    # The telephone keeps its own way to the internet.
    assert "router" not in guest and "dns" not in guest
    page = kit.ask("there", whose="guest", act="opens", address=label["address"].rstrip("/"))
    assert page["status"] == 200 and "Set up this kit" in page["text"]


def test_nothing_is_offered_that_a_raspberry_pis_radio_cannot_do(
    kit: Machine, label: dict[str, str], guest: dict[str, str]
) -> None:
    """No protected management frames and no SAE, which wants them: as the air has it. Nor may
    anybody join by the push of a button (WPS)."""
    seen = kit.ask("there", whose="guest", act="scan", interface="wlan1", ssid=label["ssid"])
    assert seen.split("\t")[3] == "[WPA2-PSK+PSK-SHA256-CCMP][ESS]"
    beacon = kit.run("ip", "netns", "exec", "guest", "iw", "dev", "wlan1", "scan", "dump")
    assert label["ssid"] in beacon and "MFP" not in beacon and "SAE" not in beacon


def test_a_guest_reaches_the_page_and_nothing_else(
    kit: Machine, guest: dict[str, str], world: None
) -> None:
    kit.run("ip", "-netns", "guest", "route", "add", "default", "via", KIT)

    def reached() -> tuple[list[int], list[int]]:
        """By somebody who tries: of the kit, and of what lies behind it."""
        ports = [*STRANGE, 443, 8443]
        tried = {"whose": "guest", "act": "reaches"}
        return (
            kit.ask("there", address=KIT, ports=ports, **tried),
            kit.ask("there", address=WORLD, ports=[80], **tried),
        )

    assert reached() == ([443, 8443], [])
    # It is the firewall that holds them back: there is something to be reached.
    kit.run("nft", "delete", "table", "inet", "attune")
    assert reached() == ([*STRANGE, 8443], [80])
    kit.run("systemctl", "restart", "attune-firewall")
    assert reached() == ([443, 8443], [])


def test_two_guests_do_not_reach_each_other(
    kit: Machine, label: dict[str, str], guest: dict[str, str]
) -> None:
    other = join(kit, "other", "wlan2", label)
    ping = ("ip", "netns", "exec", "guest", "busybox", "ping", "-c", "3", "-W", "3")
    kit.run(*ping, KIT)
    assert "100% packet loss" in kit.run(*ping, other["ip"], check=False)
    # It is the access point that keeps them apart.
    kit.run("nmcli", "connection", "modify", HOTSPOT, "802-11-wireless.ap-isolation", "0")
    kit.run("nmcli", "--wait", "300", "connection", "up", HOTSPOT)
    for whose, interface in (("guest", "wlan1"), ("other", "wlan2")):
        kit.ask("there", whose=whose, act="leave", interface=interface)
        offered = join(kit, whose, interface, label)
    kit.run(*ping, offered["ip"])


def office(kit: Machine) -> None:
    """A Wi-Fi at base, with a router that gives addresses and a way on."""
    network = {"ssid": OFFICE, "key": OFFICE_KEY, "opens": True}
    kit.ask("there", whose="office", act="radio", interface="wlan3", **network)


@pytest.fixture(scope="module")
def base(kit: Machine, label: dict[str, str], world: None) -> None:
    """The kit knows the Wi-Fi at base, as docs/stores.md has it be told: its own stays up."""
    office(kit)
    kit.run("ip", "-netns", "office", "address", "add", "198.51.100.1/24", "dev", "wlan3")
    serve = ("--interface=wlan3", "--bind-interfaces", "--port=0", "--conf-file=/dev/null")
    leases = ("--dhcp-range=198.51.100.10,198.51.100.20", "--dhcp-leasefile=/run/vm/leases")
    kit.run("ip", "netns", "exec", "office", "dnsmasq", *serve, *leases, "--pid-file=/run/vm/dns")
    known = ("ifname", "wlan0", "con-name", OFFICE, "ssid", OFFICE)
    kind = ("wifi-sec.key-mgmt", "wpa-psk")
    kit.run("nmcli", "connection", "add", "type", "wifi", *known, *kind)
    typed = rf"set wifi-sec.psk {OFFICE_KEY}\nsave\nquit\n"
    kit.run("sh", "-c", f"printf '{typed}' | nmcli connection edit {OFFICE}")
    kit.ask("connected", interface="wlan0", connection=HOTSPOT)


def say_at_base(kit: Machine, at_base: bool) -> None:
    """As the page does, and with its rights."""
    kit.run("runuser", "-u", "attune-web", "--", *(("touch",) if at_base else ("rm",)), AT_BASE)


def test_at_base_the_radio_goes_over_and_comes_back(kit: Machine, base: None) -> None:
    say_at_base(kit, True)
    kit.ask("connected", interface="wlan0", connection=OFFICE)
    assert HOTSPOT not in kit.run("nmcli", "--get-values", "NAME", "connection", "show", "--active")
    assert kit.ask("links") == [{"interface": "wlan0", "wireless": True, "connection": OFFICE}]
    # There the kit is somebody's guest, and silent.
    inner = kit.run("sh", "-c", "ip -4 -o address show wlan0 | awk '{print $4}'").partition("/")[0]
    assert inner.startswith("198.51.100.")
    for address in (inner, KIT):
        kit.run("ip", "-netns", "office", "route", "replace", KIT, "via", inner)
        tried = {"act": "reaches", "address": address, "ports": [22, 443, 8443]}
        assert not kit.ask("there", whose="office", **tried)
    say_at_base(kit, False)
    kit.ask("connected", interface="wlan0", connection=HOTSPOT)


def test_a_wifi_at_base_that_is_lost_gives_the_kit_its_own_back(kit: Machine, base: None) -> None:
    say_at_base(kit, True)
    kit.ask("connected", interface="wlan0", connection=OFFICE)
    kit.ask("there", whose="office", act="leave", interface="wlan3")
    kit.ask("connected", interface="wlan0", connection=HOTSPOT)
    say_at_base(kit, False)


def test_a_kit_whose_networkmanager_runs_already_switches_its_radio_on(kit: Machine) -> None:
    """As it is where the package is installed: NetworkManager has read that it is switched off."""
    state = "/var/lib/NetworkManager/NetworkManager.state"
    kit.run("systemctl", "stop", "NetworkManager")
    kit.run("sed", "-i", "s/WirelessEnabled=true/WirelessEnabled=false/", state)
    kit.run("systemctl", "start", "NetworkManager")
    assert kit.run("nmcli", "radio", "wifi") == "disabled\n"
    kit.run("rm", "/etc/attune/attune.toml")
    kit.run("systemctl", "restart", "attune-first-boot")
    assert kit.run("nmcli", "radio", "wifi") == "enabled\n"
    kit.run("systemctl", "restart", "NetworkManager")
    kit.ask("connected", interface="wlan0", connection=HOTSPOT)
