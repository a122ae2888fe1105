"""The hours in docs/hardware.md are what the currents above them come to."""

import re

from tests.support.places import ROOT

CELL, ARRIVING, GIVEN = 3.7, 0.85, 5.0
"""Volts of the cells, the share that is left after conversion, volts that a Pi is given."""


def row(name: str) -> list[float]:
    text = (ROOT / "docs/hardware.md").read_text()
    (line,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", text, re.MULTILINE)
    return [float(cell) for cell in line.split("|")]


def test_the_hours_of_each_power_bank_are_what_its_currents_come_to() -> None:
    drawn = [
        own + other
        for own, other in zip(row("the Pi, mA"), row("camera, microphone, light, mA"), strict=True)
    ]
    for size in (5_000, 10_000, 20_000, 26_800):
        given = size * CELL * ARRIVING / GIVEN
        assert row(f"power bank of {size:,} mAh, hours") == [round(given / one, 1) for one in drawn]
    assert round(10_000 * CELL * ARRIVING / GIVEN / (1200 + 363), 1) == 4.0
