"""Two networks, made of the kernel's own: a family's Wi-Fi, where the kit is silent, and base.

Each is a network namespace with one way out. What goes over the wire there is counted by the
kernel, so that not even a name is looked up unseen.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.base.orders import make_new
from appliance.config import Config, write_config
from appliance.protocol.status import AtBase, SyncStatus
from appliance.records.clock import SystemClock
from appliance.records.files import load_fact, save_fact
from tests.stores.servers import Server, openssh, write_access
from tests.support.homes import SendingKit, service


def ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
    return done.stdout


@dataclass
class Network:
    """A namespace whose only way out is `interface`; the store is on the other side of it."""

    name: str
    interface: str
    address: str
    """Of the other side."""

    def run(self, settings: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "appliance.sync", "--config", str(settings), "--once"]
        return subprocess.run(
            ["ip", "netns", "exec", self.name, *command],
            capture_output=True,
            text=True,
            check=False,
        )

    def sent(self) -> int:
        """Packets that left, but for the kernel's own multicast."""
        counter = f"/sys/class/net/{self.interface}/statistics/tx_packets"
        return int(ip("netns", "exec", self.name, "cat", counter))


@pytest.fixture
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    if os.getuid():
        pytest.skip("only root makes network namespaces")
    name, outside = f"attune-{os.getpid()}", f"att{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("link", "add", outside, "type", "veth", "peer", "name", request.param, "netns", name)
        ip("addr", "add", "10.231.7.1/24", "dev", outside)
        ip("link", "set", outside, "up")
        inside = ("netns", "exec", name)
        settings = f"/proc/sys/net/ipv6/conf/{request.param}/disable_ipv6"
        ip(*inside, "sh", "-c", f"[ ! -e {settings} ] || echo 1 > {settings}")
        ip("-n", name, "addr", "add", "10.231.7.2/24", "dev", request.param)
        ip("-n", name, "link", "set", request.param, "up")
        ip("-n", name, "route", "add", "default", "via", "10.231.7.1")
        yield Network(name, request.param, "10.231.7.1")
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)
        subprocess.run(["ip", "link", "delete", outside], capture_output=True, check=False)


@pytest.fixture
def base(network: Network) -> Iterator[Server]:
    """The service's store, on the other side."""
    with openssh(address=network.address) as server:
        yield server


@pytest.fixture
def kit(tmp_path: Path, base: Server) -> SendingKit:
    store = base.open_as_service()
    make_new(store, service())
    store.close()
    made = SendingKit(tmp_path / "kit", tmp_path / "unused")
    made.film(made.case().id)
    assert base.access is not None
    config = Config(
        home=str(made.home.root),
        run=str(made.home.run),
        store=base.url,
        store_access=str(write_access(tmp_path / "access.toml", base.access)),
        base_networks=("Office",),
    )
    write_config(made.settings, config)
    return made


def status(kit: SendingKit) -> SyncStatus:
    found = load_fact(kit.home.status("sync"), SyncStatus)
    assert found is not None
    return found


@pytest.mark.parametrize("network", ["wlan0"], indirect=True)
def test_in_a_familys_wifi_not_a_packet_leaves_until_this_is_said_to_be_base(
    network: Network, kit: SendingKit
) -> None:
    before = network.sent()
    done = network.run(kit.settings)
    assert done.returncode == 1
    assert "not known as base" in done.stderr
    assert network.sent() == before
    assert kit.receipts() == {}
    assert (status(kit).state, status(kit).error) == ("waiting", "not-at-base")
    assert status(kit).waiting > 0

    now = SystemClock().read()
    kit.home.at_base.parent.mkdir(parents=True, exist_ok=True)
    save_fact(kit.home.at_base, AtBase(boot=now.boot, boottime=now.boottime))
    done = network.run(kit.settings)
    assert done.returncode == 0, done.stderr
    assert status(kit).state == "sent"
    assert kit.receipts()


@pytest.mark.parametrize("network", ["eth0"], indirect=True)
def test_over_a_cable_at_base_everything_goes_by_itself(network: Network, kit: SendingKit) -> None:
    done = network.run(kit.settings)
    assert done.returncode == 0, done.stderr
    assert status(kit).state == "sent"
    assert network.sent() > 0
