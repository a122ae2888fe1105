"""The radio follows where the kit is: the script that root runs, against a stand-in for nmcli."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.places import SYSTEMD

NMCLI = """#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>asked
case "$*" in
*"TYPE,STATE,DEVICE device") cat devices ;;
*"NAME,TYPE connection show --active") sed 's/$/:802-11-wireless/' active ;;
*"NAME,TYPE connection show") sed 's/$/:802-11-wireless/' known; echo attune-usb:802-3-ethernet ;;
*"NAME connection show --active") cat active ;;
*"connection up id "*)
  name=${*##*up id }
  grep -qx "$name" answering || exit 4
  echo "$name" >active ;;
*) exit 2 ;;
esac
"""
HOTSPOT = "attune-hotspot"


class Radio:
    """A kit's radio, as NetworkManager would have it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said = root / "at-base.json"
        self.devices = ["wifi:connected:wlan0", "ethernet:connected:usb0"]
        self.known = [HOTSPOT, "Office", "Old office"]
        self.answering = [HOTSPOT, "Office"]
        self.set(HOTSPOT)
        for name, text in (("nmcli", NMCLI), ("systemctl", '#!/bin/sh\necho "$*" >>"$0.asked"\n')):
            (root / name).write_text(text)
            (root / name).chmod(0o755)

    def set(self, active: str) -> None:
        (self.root / "active").write_text(f"{active}\n" if active else "")

    @property
    def active(self) -> str:
        return (self.root / "active").read_text().strip()

    def run(self, script: str, *arguments: str) -> None:
        for name in ("devices", "known", "answering"):
            lines: list[str] = getattr(self, name)
            (self.root / name).write_text("".join(f"{line}\n" for line in lines))
        where = {**os.environ, "PATH": f"{self.root}:{os.environ['PATH']}"}
        subprocess.run(["/bin/sh", str(SYSTEMD / script), *arguments], env=where, check=True)

    def follow(self) -> str:
        """What the radio is in after the script ran."""
        self.run("at-base", str(self.said))
        return self.active

    def asked_to_change(self) -> bool:
        return " up id " in (self.root / "asked").read_text()


@pytest.fixture
def radio(tmp_path: Path) -> Radio:
    return Radio(tmp_path)


def test_at_base_the_kits_own_network_makes_way_and_comes_back_when_that_is_over(
    radio: Radio,
) -> None:
    radio.said.touch()
    assert radio.follow() == "Office"
    assert radio.follow() == "Office"
    radio.said.unlink()
    assert radio.follow() == HOTSPOT


def test_where_nobody_said_so_nothing_is_touched(radio: Radio) -> None:
    assert radio.follow() == HOTSPOT
    assert not radio.asked_to_change()


def test_where_no_known_network_answers_the_kits_own_comes_back(radio: Radio) -> None:
    radio.said.touch()
    radio.answering = [HOTSPOT]
    radio.set("")
    assert radio.follow() == HOTSPOT


def test_a_kit_that_knows_no_network_stays_reachable(radio: Radio) -> None:
    radio.said.touch()
    radio.known = [HOTSPOT]
    assert radio.follow() == HOTSPOT
    assert not radio.asked_to_change()


def test_what_was_said_more_than_twelve_hours_ago_is_over(radio: Radio) -> None:
    radio.said.touch()
    past = radio.said.stat().st_mtime - 12 * 3600 - 120
    os.utime(radio.said, (past, past))
    radio.set("Office")
    assert radio.follow() == HOTSPOT


@pytest.mark.parametrize("more", ["ethernet:connected:eth0", "wifi:disconnected:wlan1"])
def test_with_a_cable_or_a_second_radio_the_kits_own_network_stays(radio: Radio, more: str) -> None:
    radio.said.touch()
    radio.devices.append(more)
    assert radio.follow() == HOTSPOT
    assert not radio.asked_to_change()


@pytest.mark.parametrize(
    ("event", "asked"),
    [
        (("eth0", "up"), ["--no-block reload attune-sync.service"]),
        (
            ("wlan0", "down"),
            [
                "--no-block reload attune-sync.service",
                "--no-block start attune-at-base.service",
            ],
        ),
        (("eth0", "hostname"), []),
    ],
)
def test_a_network_that_comes_or_goes_is_told_to_the_sender(
    radio: Radio, event: tuple[str, str], asked: list[str]
) -> None:
    radio.run("dispatcher", *event)
    told = radio.root / "systemctl.asked"
    assert (told.read_text().splitlines() if told.exists() else []) == asked
