"""The kit without hardware goes wrong as real ones do, and only where it is asked to."""

import errno
import time
from pathlib import Path

import pytest

from appliance.config import Config, Fault, Faults
from appliance.errors import LightFailed
from appliance.film.segment import create
from firmware.pins.lamp import PinLamp
from firmware.pins.virtual import virtual_card, virtual_pins


def kit(*happen: Fault, after: float = 0.0) -> Config:
    return Config(camera="scene", read_back_pin=22, faults=Faults(happen=happen, after=after))


def test_what_reads_the_virtual_lamp_back_sees_what_it_does() -> None:
    config = kit()
    lamp = PinLamp(config.light_pin, config.read_back_pin, virtual_pins(config))
    assert lamp.proven
    for lit in (True, False, True, True, False):
        lamp.set(lit)


def test_a_lamp_that_goes_out_is_seen_when_it_does_and_not_before() -> None:
    config = kit("light-goes-out", after=0.3)
    lamp = PinLamp(config.light_pin, config.read_back_pin, virtual_pins(config))
    lamp.set(True)
    lit = time.monotonic()
    with pytest.raises(LightFailed):
        while time.monotonic() < lit + 10:
            lamp.check()
    assert time.monotonic() - lit >= 0.3
    lamp.set(False)


def test_a_kit_without_the_wire_has_none() -> None:
    config = Config(camera="scene")
    assert not PinLamp(config.light_pin, config.read_back_pin, virtual_pins(config)).proven


def test_a_card_that_is_well_is_the_system_itself() -> None:
    assert virtual_card(kit()) is create
    assert virtual_card(kit("frames-stop")) is create


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("card-full", errno.ENOSPC),
        ("card-broken", errno.EIO),
        ("card-read-only", errno.EROFS),
    ],
)
def test_a_card_that_goes_wrong_says_what_the_system_would(
    tmp_path: Path, fault: Fault, code: int
) -> None:
    well = virtual_card(kit(fault, after=60))(tmp_path / "well")
    assert well.write(b"film") == 4
    well.close()
    assert (tmp_path / "well").read_bytes() == b"film"
    broken = virtual_card(kit(fault))(tmp_path / "broken")
    with pytest.raises(OSError) as said:
        broken.write(b"film")
    broken.close()
    assert said.value.errno == code
    assert (tmp_path / "broken").read_bytes() == b""


def test_a_slow_card_writes_everything_but_slower_than_it_is_filmed(tmp_path: Path) -> None:
    slow = virtual_card(kit("card-slow"))(tmp_path / "slow")
    began = time.monotonic()
    assert slow.write(b"film") == 4
    slow.close()
    assert time.monotonic() - began > 0.5
    assert (tmp_path / "slow").read_bytes() == b"film"
