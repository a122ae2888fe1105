"""Where and when a kit sends: by cable, where somebody says so, and never in a family's Wi-Fi."""

from datetime import time
from pathlib import Path

import pytest

from appliance.protocol.status import AT_BASE_SECONDS, AtBase, is_at_base
from appliance.records.files import Home, save_fact
from appliance.sync.place import Link, links, needs_a_network, why_not, within
from tests.support.clocks import FakeClock

CABLE = Link("eth0", wireless=False)
WIFI = Link("wlan0", wireless=True, connection="The Smiths")
OFFICE = Link("wlan0", wireless=True, connection="Office")


@pytest.mark.parametrize("armed", [True, False])
def test_in_a_familys_wifi_nothing_is_sent(armed: bool) -> None:
    answer = why_not([WIFI], at_base=False, listed=["Office"], armed=armed)
    assert answer == "not-at-base"


@pytest.mark.parametrize("armed", [True, False])
def test_over_a_cable_it_is_sent(armed: bool) -> None:
    assert why_not([CABLE], at_base=False, listed=[], armed=armed) is None
    assert why_not([CABLE, WIFI], at_base=False, listed=[], armed=armed) == "not-at-base"


def test_where_the_practitioner_says_that_it_is_base_it_is_sent() -> None:
    assert why_not([WIFI], at_base=True, listed=[], armed=True) is None


def test_a_listed_network_counts_only_while_no_case_is_armed() -> None:
    assert why_not([OFFICE], at_base=False, listed=["Office"], armed=False) is None
    assert why_not([OFFICE], at_base=False, listed=["Office"], armed=True) == "not-at-base"
    assert why_not([OFFICE, WIFI], at_base=False, listed=["Office"], armed=False) == "not-at-base"
    unknown = Link("wlan0", wireless=True)
    assert why_not([unknown], at_base=False, listed=["Office"], armed=False) == "not-at-base"


def test_without_a_network_that_is_the_reason() -> None:
    assert why_not([], at_base=True, listed=[], armed=False) == "no-network"


@pytest.mark.parametrize(
    ("hours", "at", "inside"),
    [
        ("", time(3), True),
        ("09:00-17:00", time(9), True),
        ("09:00-17:00", time(16, 59, 59), True),
        ("09:00-17:00", time(17), False),
        ("18:00-07:00", time(18), True),
        ("18:00-07:00", time(0), True),
        ("18:00-07:00", time(6, 59), True),
        ("18:00-07:00", time(7), False),
        ("18:00-07:00", time(12), False),
    ],
)
def test_hours_may_go_over_midnight(hours: str, at: time, inside: bool) -> None:
    assert within(hours, at) is inside


@pytest.mark.parametrize(
    ("store", "needed"),
    [
        ("file:///srv/attune", False),
        ("", False),
        ("sftp://kit@store.example/x", True),
        ("sftp://kit@127.0.0.1:2222/x", False),
        ("s3://films?endpoint=https://store.example&region=x", True),
        ("s3://films?endpoint=https://localhost:7443", False),
        ("s3://films", True),
        ("az://films?account=name", True),
    ],
)
def test_only_a_store_elsewhere_needs_a_network(store: str, needed: bool) -> None:
    assert needs_a_network(store) is needed


def test_what_was_said_of_base_ends_with_the_boot_and_with_the_day(tmp_path: Path) -> None:
    home, clock = Home(tmp_path / "home", tmp_path / "run"), FakeClock()
    assert not is_at_base(home, clock.read())
    home.at_base.parent.mkdir(parents=True)
    now = clock.read()
    save_fact(home.at_base, AtBase(boot=now.boot, boottime=now.boottime))
    assert is_at_base(home, clock.read())
    clock.advance(AT_BASE_SECONDS)
    assert is_at_base(home, clock.read())
    clock.advance(1)
    assert not is_at_base(home, clock.read())
    save_fact(home.at_base, AtBase(boot="another", boottime=clock.seconds))
    assert not is_at_base(home, clock.read())
    home.at_base.write_text("{}")
    assert not is_at_base(home, clock.read())


ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"


def route(interface: str, metric: int, destination: str = "00000000") -> str:
    mask = "00000000" if destination == "00000000" else "00FFFFFF"
    return f"{interface}\t{destination}\t0101A8C0\t0003\t0\t0\t{metric}\t{mask}\t0\t0\t0\n"


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """What of a kernel shows which networks there are."""
    (tmp_path / "proc/net").mkdir(parents=True)
    for name, carrier in (("lo", "1"), ("eth0", "0"), ("wlan0", "1")):
        (tmp_path / "sys/class/net" / name).mkdir(parents=True)
        (tmp_path / "sys/class/net" / name / "carrier").write_text(carrier)
    (tmp_path / "sys/class/net/wlan0/wireless").mkdir()
    (tmp_path / "proc/net/route").write_text(ROUTES)
    return tmp_path


def test_the_network_that_the_kernel_sends_through_is_what_counts(system: Path) -> None:
    table = ROUTES + route("wlan0", 600) + route("eth0", 100)
    (system / "proc/net/route").write_text(table)
    assert [link.interface for link in links(system)] == ["eth0"]
    (system / "proc/net/route").write_text(ROUTES + route("wlan0", 50) + route("eth0", 100))
    assert [(link.interface, link.wireless) for link in links(system)] == [("wlan0", True)]
    (system / "proc/net/ipv6_route").write_text(
        f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} 00000064 00000001 00000000 00000003     eth0\n"
    )
    assert [link.interface for link in links(system)] == ["eth0", "wlan0"]


def test_without_a_way_out_only_a_plugged_cable_counts(system: Path) -> None:
    assert links(system) == []
    (system / "proc/net/route").write_text(ROUTES + route("wlan0", 600, "0001A8C0"))
    assert links(system) == []
    (system / "sys/class/net/eth0/carrier").write_text("1")
    assert [(link.interface, link.wireless) for link in links(system)] == [("eth0", False)]
