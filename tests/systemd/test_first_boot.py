"""The name and the network that a kit is given at its first start, and who may come in by it."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest

from appliance.config import load_config
from appliance.selftest.acceptance import OF_THE_BOX
from tests.support.places import ROOT

SYSTEMD = ROOT / "systemd"


def first_boot(root: Path) -> str:
    """A start of the kit whose system lies at `root`; what root's journal gets of it."""
    command = [sys.executable, "-P", str(SYSTEMD / "first-boot"), "--root", str(root)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def profile(path: Path) -> ConfigParser:
    parser = ConfigParser()
    parser.read(path)
    return parser


def test_what_stays_with_a_kit_is_what_its_acceptance_says_of_it() -> None:
    """The first start loads nothing of ours, so it has a list of its own."""
    kept = runpy.run_path(str(SYSTEMD / "first-boot"))["OF_THE_BOX"]
    assert set(kept) == set(OF_THE_BOX)


def test_a_kit_is_given_a_name_that_says_nothing_and_a_network_that_leads_nowhere(
    tmp_path: Path,
) -> None:
    first_boot(tmp_path)
    etc = tmp_path / "etc"
    name = (etc / "hostname").read_text().strip()
    assert re.fullmatch(r"kit-[2-9a-hjkmnp-z]{4}", name)
    hotspot = etc / "NetworkManager/system-connections/attune-hotspot.nmconnection"
    assert hotspot.stat().st_mode & 0o777 == 0o600
    assert profile(hotspot)["wifi"]["ssid"] == name
    assert profile(hotspot)["wifi"]["ap-isolation"] == "1", "no visitor reaches another"
    assert profile(hotspot)["wifi-security"]["pmf"] == "1", "the Pi's radio cannot do it"
    assert profile(hotspot)["wifi-security"]["wps-method"] == "1", "the key is the only way in"
    label = tomllib.loads((etc / "attune/label.toml").read_text())
    assert (etc / "attune/label.toml").stat().st_mode & 0o777 == 0o640
    assert label["key"] == profile(hotspot)["wifi-security"]["psk"]
    assert len(label["key"]) == 16
    config = load_config(etc / "attune/attune.toml")
    assert config.names == (f"{name}.local", "10.55.0.1", "10.55.1.1")
    assert label["address"] == f"https://{config.names[1]}/"


def test_a_radio_that_the_system_came_with_switched_off_is_on_from_the_first_start(
    tmp_path: Path,
) -> None:
    state = tmp_path / "var/lib/NetworkManager/NetworkManager.state"
    state.parent.mkdir(parents=True)
    state.write_text("[main]\nNetworkingEnabled=true\nWirelessEnabled=false\nWWANEnabled=true\n")
    first_boot(tmp_path)
    assert set(profile(state)["main"].values()) == {"true"}
    # Whoever switches it off later has a reason.
    state.write_text("[main]\nWirelessEnabled=false\n")
    first_boot(tmp_path)
    assert profile(state)["main"]["WirelessEnabled"] == "false"


@pytest.mark.parametrize(
    ("radios", "asked"),
    [
        ({}, True),
        ({"wlan": "0", "bluetooth": "1"}, True),
        # Nobody has said in which country it is.
        ({"wlan": "1"}, False),
    ],
)
def test_a_networkmanager_that_runs_is_told_to_switch_the_radio_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, radios: dict[str, str], asked: bool
) -> None:
    """It would write down that it is off when it ends, over what the file says."""
    root = tmp_path / "root"
    (root / "run/NetworkManager/devices").mkdir(parents=True)
    for kind, soft in radios.items():
        radio = root / "sys/class/rfkill" / kind
        radio.mkdir(parents=True)
        (radio / "type").write_text(f"{kind}\n")
        (radio / "soft").write_text(f"{soft}\n")
    (root / "sys/class/rfkill").mkdir(parents=True, exist_ok=True)
    (root / "sys/class/rfkill/pulled-out").symlink_to("nowhere")
    nmcli = tmp_path / "nmcli"
    nmcli.write_text('#!/bin/sh\necho "$*" >"$0.asked"\n')
    nmcli.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    first_boot(root)
    told = tmp_path / "nmcli.asked"
    assert (told.read_text() if told.exists() else "") == ("radio wifi on\n" if asked else "")


def test_from_the_next_start_on_the_kernel_overwrites_memory_that_is_given_back(
    tmp_path: Path,
) -> None:
    """Attack: the memory of a locked kit is read for what its page had before the lock."""
    line = tmp_path / "boot/firmware/cmdline.txt"
    line.parent.mkdir(parents=True)
    line.write_text("console=tty1 root=PARTUUID=2 rootwait\n")
    first_boot(tmp_path)
    assert line.read_text() == "console=tty1 root=PARTUUID=2 rootwait init_on_free=1\n"
    line.write_text("console=tty1 root=PARTUUID=3")  # A kit of before, or somebody's own settings.
    first_boot(tmp_path)
    first_boot(tmp_path)
    assert line.read_text() == "console=tty1 root=PARTUUID=3 init_on_free=1\n"
    lines = (SYSTEMD / "attune-first-boot.service").read_text().splitlines()
    assert "ConditionKernelCommandLine=|!init_on_free=1" in lines, "it is done on every kit"


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    first_boot(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    first_boot(tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_first_start_that_the_plug_interrupted_is_done_again(tmp_path: Path) -> None:
    first_boot(tmp_path)
    (tmp_path / "etc/attune/attune.toml").unlink()
    (tmp_path / "etc/attune/label.toml.new").write_text("half")
    first_boot(tmp_path)
    label = tomllib.loads((tmp_path / "etc/attune/label.toml").read_text())
    assert label["name"] == (tmp_path / "etc/hostname").read_text().strip()


def test_no_two_kits_share_a_key(tmp_path: Path) -> None:
    keys = set()
    for number in range(3):
        first_boot(tmp_path / str(number))
        keys.add((tmp_path / str(number) / "etc/attune/label.toml").read_text().split("key")[1])
    assert len(keys) == 3


OTHERS = {
    "etc/credstore/attune-store": "the old store's secret",
    "etc/NetworkManager/system-connections/Old office.nmconnection": "psk=the old office's secret",
    "etc/netplan/90-NM-1f0c.yaml": "password: the old office's secret",
    "etc/netplan/50-cloud-init.yaml": "network: {wifis: {wlan0: the old office's secret}}",
    "run/NetworkManager/system-connections/netplan-wlan0": "psk=the old office's secret",
    "boot/firmware/network-config": "wifis: the old office's secret",
    "var/lib/NetworkManager/seen-bssids": "where the old office is",
    "root/store": "the old store's other secret",
}
"""What an earlier service may have left, by hand or in the imager."""


def set_back_kit(root: Path) -> dict[str, str]:
    """A kit that worked for a service and was set back since; what its label said until then."""
    first_boot(root)
    label = tomllib.loads((root / "etc/attune/label.toml").read_text())
    with open(root / "etc/attune/attune.toml", "a") as settings:
        settings.write(
            'store = "sftp://kit@old.example/films"\nstore_access = "/root/store"\n'
            'base_networks = [\n  "Old office",\n]\nbutton_pin = 5\nread_back_pin = 22\n'
            'microphone = "hw:CARD=Ohr \\"1\\",DEV=0"\nwidth = 1920\n'
            "mains_hz = 60\nupside_down = true\nmirrored = true\nfocus = 1.5\n"
        )
    for path, text in OTHERS.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    wired = root / "etc/netplan/00-wired.yaml"
    wired.write_text("network: {ethernets: {eth0: {dhcp4: true}}}")
    (root / "var/lib/attune/kit").mkdir(parents=True)
    (root / "var/lib/attune/kit/former").write_text("set back once")
    return label


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def assert_as_on_the_first_day(root: Path, before: dict[str, str]) -> None:
    assert not [path for path in OTHERS if (root / path).exists()]
    assert (root / "etc/netplan/00-wired.yaml").exists()
    told = b"".join(everything(root).values()).decode()
    assert "secret" not in told and "Old office" not in told and "old.example" not in told
    label = tomllib.loads((root / "etc/attune/label.toml").read_text())
    assert label["key"] != before["key"] and before["key"] not in told
    assert label["name"] == (root / "etc/hostname").read_text().strip() != before["name"]
    hotspot = root / "etc/NetworkManager/system-connections/attune-hotspot.nmconnection"
    assert profile(hotspot)["wifi-security"]["psk"] == label["key"]
    config = load_config(root / "etc/attune/attune.toml")
    assert config.names[0] == f"{label['name']}.local"
    assert (config.store, config.store_access, config.base_networks) == ("", "", ())
    # What was soldered stays.
    assert (config.button_pin, config.read_back_pin, config.width) == (5, 22, 1920)
    assert (config.mains_hz, config.upside_down, config.mirrored) == (60, True, True)
    assert config.focus == 1.5
    assert config.microphone == 'hw:CARD=Ohr "1",DEV=0'


def test_a_kit_that_was_set_back_forgets_its_service_and_its_networks_at_the_next_start(
    tmp_path: Path,
) -> None:
    before = set_back_kit(tmp_path)
    said = first_boot(tmp_path)
    assert_as_on_the_first_day(tmp_path, before)
    assert all(path in said for path in OTHERS)
    assert "secret" not in said and before["key"] not in said


def test_each_setting_back_is_followed_once(tmp_path: Path) -> None:
    before = set_back_kit(tmp_path)
    first_boot(tmp_path)
    after = everything(tmp_path)
    assert first_boot(tmp_path) == ""
    assert everything(tmp_path) == after
    # The next service's own: it stays until the kit goes to other hands again.
    (tmp_path / "etc/credstore/attune-store").write_text("the new store's secret")
    first_boot(tmp_path)
    assert (tmp_path / "etc/credstore/attune-store").exists()
    (tmp_path / "var/lib/attune/kit/former").write_text("set back twice")
    first_boot(tmp_path)
    assert_as_on_the_first_day(tmp_path, before)


@pytest.mark.parametrize(
    "cut_at",
    ["etc/hostname", "etc/attune/label.toml", "etc/attune/attune.toml", "etc/attune/set-back"],
)
def test_a_plug_pulled_while_a_kit_forgets_only_delays_it(tmp_path: Path, cut_at: str) -> None:
    before = set_back_kit(tmp_path)
    # Nothing can be put there: it ends in the midst, as with a pulled plug.
    in_the_way = tmp_path / f"{cut_at}.new"
    in_the_way.mkdir(parents=True)
    with pytest.raises(subprocess.CalledProcessError):
        first_boot(tmp_path)
    in_the_way.rmdir()
    first_boot(tmp_path)
    assert_as_on_the_first_day(tmp_path, before)


def test_what_cannot_be_removed_is_said_and_tried_again_and_the_kit_stays_in_reach(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = set_back_kit(tmp_path)
    held = tmp_path / "etc/credstore/attune-store"
    sleep = shutil.which("sleep")
    assert sleep
    shutil.copy(sleep, held)
    # Nobody may write to a program that runs.
    with subprocess.Popen([held, "60"]) as running:
        with pytest.raises(subprocess.CalledProcessError):
            first_boot(tmp_path)
        running.kill()
    assert str(held) in capfd.readouterr().err
    assert [path for path in OTHERS if (tmp_path / path).exists()] == ["etc/credstore/attune-store"]
    label = tomllib.loads((tmp_path / "etc/attune/label.toml").read_text())
    hotspot = tmp_path / "etc/NetworkManager/system-connections/attune-hotspot.nmconnection"
    assert label == before and profile(hotspot)["wifi-security"]["psk"] == before["key"]
    first_boot(tmp_path)
    assert_as_on_the_first_day(tmp_path, before)


def test_a_new_system_over_a_kit_that_was_set_back_once_is_not_set_back_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "var/lib/attune/kit").mkdir(parents=True)
    (tmp_path / "var/lib/attune/kit/former").write_text("set back once")
    first_boot(tmp_path)
    after = everything(tmp_path)
    assert first_boot(tmp_path) == ""
    assert everything(tmp_path) == after


def test_settings_that_nobody_can_read_hold_up_no_forgetting(tmp_path: Path) -> None:
    before = set_back_kit(tmp_path)
    (tmp_path / "etc/attune/attune.toml").write_text('store = "sftp://old.example')
    first_boot(tmp_path)
    label = tomllib.loads((tmp_path / "etc/attune/label.toml").read_text())
    assert label["key"] != before["key"]
    assert load_config(tmp_path / "etc/attune/attune.toml").store == ""
    assert not (tmp_path / "etc/credstore/attune-store").exists()


@pytest.mark.parametrize("odd", ["link", "directory", "pipe"])
def test_what_is_no_file_of_the_recorders_sets_nothing_back(tmp_path: Path, odd: str) -> None:
    first_boot(tmp_path)
    former = tmp_path / "var/lib/attune/kit/former"
    former.parent.mkdir(parents=True)
    if odd == "link":
        former.symlink_to(tmp_path / "etc/hostname")
    elif odd == "directory":
        former.mkdir()
    else:
        os.mkfifo(former)
    before = (tmp_path / "etc/attune/label.toml").read_bytes()
    first_boot(tmp_path)
    assert (tmp_path / "etc/attune/label.toml").read_bytes() == before


NETWORKS = r"""
set -e
mount -t tmpfs none /run
exec 5>/run/refused
ip netns add visitor
ip link set lo up
ip -n visitor link set lo up
# The users of the kit, as its package makes them.
cp /etc/passwd /run/passwd
for user in web:7001 sync:7002 recorder:7003; do
	echo "attune-${user%:*}:x:${user#*:}:7001::/:/bin/false" >>/run/passwd
done
mount --bind /run/passwd /etc/passwd
nft -f "$1"
for pair in "wlan0 10.55.0" "usb0 10.55.1" "eth0 192.168.7"; do
	set -- $pair
	ip link add "$1" type veth peer name "v$1" netns visitor
	ip address add "$2.1/24" dev "$1"
	ip link set "$1" up
	ip -n visitor address add "$2.9/24" dev "v$1"
	ip -n visitor link set "v$1" up
done
# A guest at base: the same radio, somebody else's network.
ip address add 192.168.8.1/24 dev wlan0
ip -n visitor address add 192.168.8.9/24 dev vwlan0
python3 -m http.server --bind 0.0.0.0 8443 >/dev/null 2>&1 &
page=$!
python3 -m http.server --bind 0.0.0.0 22 >/dev/null 2>&1 &
other=$!
trap 'kill $page $other' EXIT
knock='
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1.5).close()'
until python3 -c "$knock" 127.0.0.1 8443 2>/dev/null; do sleep 0.1; done
until python3 -c "$knock" 127.0.0.1 22 2>/dev/null; do sleep 0.1; done
try() { # try NAME ADDRESS PORT
	if ip netns exec visitor python3 -c "$knock" "$2" "$3" 2>/dev/null; then
		echo "$1 open"
	else
		echo "$1 shut"
	fi
}
try wifi 10.55.0.1 8443
try wifi-443 10.55.0.1 443
try cable-443 10.55.1.1 443
try wifi-22 10.55.0.1 22
try other 192.168.7.1 8443
try guest 192.168.8.1 8443
# Another network's address, asked for through our own.
ip -n visitor route add 192.168.7.1/32 via 10.55.0.1 dev vwlan0 metric 1
try around 192.168.7.1 8443
ip -n visitor route del 192.168.7.1/32 via 10.55.0.1 dev vwlan0

# Our addresses, asked for through another network: Linux answers for any of its own.
for way in "veth0 192.168.7.1" "vwlan0 192.168.8.1" "vusb0 10.55.1.1" "vwlan0 10.55.0.1"; do
	for ours in 10.55.0.1 10.55.1.1; do
		set -- $way $ours
		[ "$2" = "$3" ] ||
			ip -n visitor route append "$3/32" via "$2" dev "$1" metric 700 2>/dev/null || :
	done
done
ip netns exec visitor python3 -c '
import select, socket
ways = [
    "office-to-wifi veth0 192.168.7.9 10.55.0.1".split(),
    "office-to-cable veth0 192.168.7.9 10.55.1.1".split(),
    "guest-to-wifi vwlan0 192.168.8.9 10.55.0.1".split(),
    "guest-to-cable vwlan0 192.168.8.9 10.55.1.1".split(),
    "cable-to-wifi vusb0 10.55.1.9 10.55.0.1".split(),
    "wifi-to-cable vwlan0 10.55.0.9 10.55.1.1".split(),
    "forged-to-wifi veth0 10.55.0.9 10.55.0.1".split(),
    "forged-to-cable veth0 10.55.1.9 10.55.1.1".split(),
]
asked = {}
for name, device, source, ours in ways:
    for port in (443, 8443):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        one.bind((source, 0))
        one.setblocking(False)
        one.connect_ex((ours, port))
        asked[one] = f"{name}-{port}"
end = select.select([], list(asked), [], 3)[1]
for one, name in asked.items():
    there = one in end and not one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    print(name, "open" if there else "shut")
'
ip -n visitor route flush exact 10.55.0.1/32
ip -n visitor route flush exact 10.55.1.1/32

# What each user of the kit may call: something that listens in every network, and on the kit.
ip netns exec visitor python3 -m http.server --bind 0.0.0.0 9 >/dev/null 2>&1 &
elsewhere=$!
trap 'kill $page $other $elsewhere' EXIT
until ip netns exec visitor python3 -c "$knock" 127.0.0.1 9 2>/dev/null; do sleep 0.1; done
call() { # call NAME USER ADDRESS PORT
	# Loaded first: the other user may not read where Python lies.
	if python3 -c "import encodings.idna, os, socket; os.setuid($2); $knock" "$3" "$4" 2>&5; then
		echo "$1 open"
	else
		echo "$1 shut"
	fi
}
for place in office=192.168.7.9 guest=192.168.8.9 wifi=10.55.0.9 cable=10.55.1.9; do
	call "page-calls-${place%=*}" 7001 "${place#*=}" 9
done
call page-calls-itself 7001 127.0.0.1 22
call recorder-calls-office 7003 192.168.7.9 9
call sync-calls-office 7002 192.168.7.9 9

# The page as its own user answers; and one guest with many connections leaves room for others.
kill $page
python3 -c '
import encodings.idna, os, socket
os.setuid(7001)
page, there = socket.create_server(("0.0.0.0", 8443), backlog=1024), []
while True:
    there.append(page.accept())' >/dev/null 2>&1 &
page=$!
until python3 -c "$knock" 127.0.0.1 8443 2>/dev/null; do
	kill -0 $page
	sleep 0.1
done
try wifi-answered 10.55.0.1 8443
try cable-answered 10.55.1.1 443
ip -n visitor address add 10.55.0.10/24 dev vwlan0
ip netns exec visitor python3 -c '
import select, socket
flood = []
for _ in range(800):
    one = socket.socket()
    one.setblocking(False)
    one.bind(("10.55.0.9", 0))
    one.connect_ex(("10.55.0.1", 8443))
    flood.append(one)
here = select.poll()
for one in flood:
    here.register(one, select.POLLOUT)
there = set()
while ready := here.poll(700):
    for number, _ in ready:
        here.unregister(number)
        there.add(number)
other = socket.create_connection(("10.55.0.1", 8443), 2, source_address=("10.55.0.10", 0))
print("flood", "limited" if 40 < len(there) <= 48 else len(there), "another open")
'
"""


CABLE = r"""
set -e
mount -t tmpfs none /run
ip netns add laptop
ip link add usb0 type veth peer name cable netns laptop
ip address add 10.55.1.1/24 dev usb0
ip link set usb0 up
ip -n laptop link set cable up
ip link add wall type veth peer name office netns laptop
ip link set wall up
ip -n laptop address add 192.168.7.9/24 dev office
ip -n laptop link set office up
ip -n laptop route add default via 192.168.7.1
ip -n laptop route show default >/run/before
# As NetworkManager runs it for a shared connection, with what lies in dnsmasq-shared.d.
dnsmasq --conf-file=/dev/null --conf-dir="$1" --no-hosts --no-resolv --port=0 --bind-interfaces \
	--listen-address=10.55.1.1 --dhcp-range=10.55.1.10,10.55.1.250,60m \
	--dhcp-leasefile=/run/leases --user=root --pid-file=/run/dnsmasq.pid
printf '#!/bin/sh\nif [ "$1" = bound ]; then echo "address ${ip%%.*} router $router names $dns"
ip address add $ip/24 dev $interface
for one in $router; do ip route replace default via $one; done; fi\n' >/run/took
chmod +x /run/took
ip netns exec laptop udhcpc -i cable -n -q -f -s /run/took 2>/dev/null
kill "$(cat /run/dnsmasq.pid)"
ip -n laptop route show default | cmp - /run/before && echo "the way out is as it was"
"""


def alone(script: str, argument: Path, *tools: str) -> list[str]:
    """What a script says in a network of its own; skips, with the reason, where that cannot be."""
    for tool in ("ip", "unshare", *tools):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool} here")
    if os.getuid() != 0:
        pytest.skip("networks of one's own need root")
    unshare = ("unshare", "--net", "--mount")
    if subprocess.run([*unshare, "true"]).returncode:
        pytest.skip("this machine allows no networks of one's own")
    done = subprocess.run(
        [*unshare, "--propagation", "private", "bash", "-c", script, "alone", str(argument)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_page_is_open_on_the_kits_own_networks_and_everything_else_is_shut() -> None:
    assert alone(NETWORKS, SYSTEMD / "attune.nft", "nft") == [
        "wifi open",
        "wifi-443 open",
        "cable-443 open",
        "wifi-22 shut",
        "other shut",
        "guest shut",
        "around shut",
        *(
            f"{way}-{port} shut"
            for way in (
                *("office-to-wifi", "office-to-cable", "guest-to-wifi", "guest-to-cable"),
                *("cable-to-wifi", "wifi-to-cable", "forged-to-wifi", "forged-to-cable"),
            )
            for port in (443, 8443)
        ),
        *(f"page-calls-{place} shut" for place in ("office", "guest", "wifi", "cable", "itself")),
        "recorder-calls-office shut",
        "sync-calls-office open",
        "wifi-answered open",
        "cable-answered open",
        "flood limited another open",
    ]


@pytest.mark.slow
def test_a_laptop_on_the_cable_keeps_its_own_way_to_the_internet(tmp_path: Path) -> None:
    shutil.copy(SYSTEMD / "dnsmasq-shared.conf", tmp_path / "attune.conf")
    assert alone(CABLE, tmp_path, "dnsmasq", "udhcpc") == [
        "address 10.55.1 router  names ",
        "the way out is as it was",
    ]
