"""The light: patterns that are told apart by rhythm, and a lamp that must follow."""

import itertools
import time

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from appliance.errors import LightFailed
from appliance.protocol.status import PATTERNS, Pattern
from firmware.light import CAPTURING, LONGEST_DARK, Light, at
from firmware.pins.lamp import PinLamp
from tests.support.clocks import FakeClock
from tests.support.fakes import FakeLamp


def stretches(pattern: Pattern) -> list[tuple[bool, float]]:
    """How long it is lit and dark by turns, over 40 s."""
    found: list[tuple[bool, float]] = []
    elapsed = 0.0
    while elapsed < 40:
        lit, left = at(pattern, elapsed)
        left = min(left, 40 - elapsed)
        if found and found[-1][0] is lit:
            found[-1] = (lit, found[-1][1] + left)
        else:
            found.append((lit, left))
        elapsed += max(left, 0.001)
    return found


def test_every_pattern_has_its_rhythm() -> None:
    assert set(PATTERNS) == set(Pattern)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(Pattern, 2)))
def test_no_two_patterns_look_alike(one: Pattern, other: Pattern) -> None:
    """Rhythms differ for the eye if some stretch of one is dark, or half as long again."""
    first, second = stretches(one), stretches(other)
    pairs = list(zip(first, second, strict=False))
    assert any(a[0] is not b[0] or max(a[1], b[1]) >= 1.5 * min(a[1], b[1]) for a, b in pairs)


@pytest.mark.parametrize("pattern", sorted(CAPTURING, key=str))
def test_no_pattern_of_the_open_camera_is_dark_for_long(pattern: Pattern) -> None:
    shown = stretches(pattern)
    assert shown[0][0], "it begins dark"
    assert all(seconds <= LONGEST_DARK + 1e-9 for lit, seconds in shown if not lit)


def test_only_these_patterns_begin_lit_and_stay_so() -> None:
    steady = {p for p in Pattern if stretches(p) == [(True, pytest.approx(40))]}
    assert steady == {Pattern.FILMING}


class Stage:
    """A light on a lamp that can be broken."""

    def __init__(self) -> None:
        self.clock, self.lamp, self.failures = FakeClock(), FakeLamp(), 0
        self.light = Light(self.lamp, self.clock, self.failed)

    def failed(self) -> None:
        self.failures += 1

    def play(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            wait = self.light.step()
            self.clock.advance(max(min(wait, end - self.clock.monotonic()), 0.0001))
        self.light.step()


def test_a_pattern_is_shown_when_show_returns() -> None:
    stage = Stage()
    stage.light.show(Pattern.FILMING)
    assert stage.lamp.lit and stage.light.lit


@pytest.mark.parametrize("pattern", list(Pattern))
def test_the_lamp_follows_the_table(pattern: Pattern) -> None:
    stage = Stage()
    stage.light.show(pattern)
    began = stage.clock.monotonic()
    for _ in range(400):
        stage.play(0.03)
        # Beside an edge either is right.
        now = stage.clock.monotonic() - began
        if at(pattern, now - 0.001)[0] == at(pattern, now + 0.001)[0]:
            assert stage.lamp.lit is at(pattern, now)[0]


def test_a_lamp_that_does_not_follow_refuses_the_pattern() -> None:
    stage = Stage()
    stage.lamp.stuck = True
    with pytest.raises(LightFailed):
        stage.light.show(Pattern.FILMING)
    assert stage.light.broken


def test_a_lamp_that_is_stuck_alight_does_not_pass_for_one_that_works() -> None:
    stage = Stage()
    stage.light.show(Pattern.READY)
    stage.lamp.stuck = True
    with pytest.raises(LightFailed):
        stage.light.show(Pattern.FILMING)


def test_a_lamp_that_fails_later_is_told_once_and_within_half_a_second() -> None:
    stage = Stage()
    stage.light.show(Pattern.FILMING)
    stage.play(5)
    assert stage.failures == 0
    stage.lamp.dark()
    stage.play(0.5)
    assert stage.failures == 1
    stage.play(5)
    assert stage.failures == 1


def test_a_light_that_can_be_shown_again_is_whole_again() -> None:
    stage = Stage()
    stage.lamp.stuck = True
    with pytest.raises(LightFailed):
        stage.light.show(Pattern.FILMING)
    stage.lamp.stuck = False
    stage.light.show(Pattern.READY)
    assert not stage.light.broken


class Wired(MockPin):
    """A lamp's pin that a wire connects to another one, while it is not cut."""

    eye: MockPin | None = None

    def _change_state(self, value: bool) -> bool:
        changed: bool = super()._change_state(value)
        if self.eye is not None:
            self.eye.drive_high() if value else self.eye.drive_low()
        return changed


def wired_lamp() -> tuple[PinLamp, Wired]:
    factory = MockFactory()
    pin, eye = factory.pin(27, pin_class=Wired), factory.pin(22)
    eye.drive_low()
    pin.eye = eye
    return PinLamp(27, 22, factory), pin


def test_a_lamp_with_an_eye_on_it_is_proven() -> None:
    lamp, _ = wired_lamp()
    assert lamp.proven
    for lit in (True, False, True):
        lamp.set(lit)
        lamp.check()
    lamp.close()
    assert not PinLamp(27, None, MockFactory()).proven


def test_a_cut_wire_is_seen_at_the_next_edge_and_at_the_next_look() -> None:
    lamp, pin = wired_lamp()
    lamp.set(True)
    assert pin.eye is not None
    pin.eye.drive_low()
    pin.eye = None
    with pytest.raises(LightFailed):
        lamp.check()
    with pytest.raises(LightFailed):
        lamp.set(True)
    lamp.close()


LETS_GO = 0.012
"""Seconds that a dazzled phototransistor still sees the light, within what drivers' papers say."""


class Dazzled(MockPin):  # type: ignore[misc]
    """An eye that still sees for a while a lamp that has gone off."""

    lamp: MockPin | None = None

    def _get_state(self) -> bool:
        lamp = self.lamp
        if lamp is None:
            return False
        return bool(lamp._state) or time.monotonic() - lamp._last_change < LETS_GO


def test_an_eye_that_was_dazzled_is_waited_for_and_how_long_is_told() -> None:
    factory = MockFactory()
    lamp_pin = factory.pin(27)
    eye = factory.pin(22, pin_class=Dazzled)
    lamp = PinLamp(27, 22, factory)
    eye.lamp = lamp_pin
    lamp.set(True)
    assert lamp.slowest > 0
    lamp.set(False)
    seen = lamp.slowest
    assert seen >= LETS_GO
    lamp.set(True)
    assert lamp.slowest >= seen, "the slowest edge of all counts"
