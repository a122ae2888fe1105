"""The button: own debounce, own times, whatever the contact does."""

import random

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from appliance.protocol.permits import PressRefusal
from appliance.protocol.status import State
from firmware.debounce import SETTLE, Debounce
from firmware.pins.button import Button, Edge
from firmware.recorder import (
    LONGEST_PRESS,
    SHORTEST_PRESS,
    Judge,
    Judged,
    Pressed,
    Recorder,
    Released,
)
from tests.firmware.test_recorder import PERMIT
from tests.support.clocks import FakeClock

Told = list[Pressed | Released]


def feed(debounce: Debounce, edges: list[tuple[float, bool]], until: float) -> Told:
    """What is told of these edges, each release at the moment it is due."""
    told: Told = []
    for at, down in edges:
        if debounce.due is not None and debounce.due <= at:
            told += debounce.settle(debounce.due)
        told += debounce.edge(Edge(at, down))
    return told + debounce.settle(until)


def test_a_press_is_told_at_its_first_edge_and_a_release_when_it_has_settled() -> None:
    debounce = Debounce()
    assert debounce.edge(Edge(1.0, True)) == [Pressed(1.0)]
    assert debounce.edge(Edge(1.5, False)) == []
    assert debounce.due == 1.5 + SETTLE
    assert debounce.settle(1.5 + SETTLE - 0.0001) == []
    assert debounce.settle(1.5 + SETTLE) == [Released(1.5 + SETTLE, 0.5)]
    assert debounce.due is None


def test_bounces_at_both_ends_are_one_press() -> None:
    edges = [
        (1.0, True),
        (1.001, False),
        (1.003, True),
        (1.3, False),
        (1.302, True),
        (1.305, False),
    ]
    told = feed(Debounce(), edges, 2.0)
    assert [type(t) for t in told] == [Pressed, Released]
    assert told[0].at == 1.0
    assert isinstance(told[1], Released) and told[1].held == pytest.approx(0.305)


def test_a_gap_in_a_long_press_is_not_its_end() -> None:
    edges = [(1.0, True), (1.7, False), (1.7 + SETTLE - 0.001, True), (9.0, False)]
    told = feed(Debounce(), edges, 10.0)
    assert [t.held for t in told if isinstance(t, Released)] == [pytest.approx(8.0)]


def test_a_button_that_is_down_at_power_up_is_not_pressed_until_let_go() -> None:
    debounce = Debounce(down=True)
    assert feed(debounce, [(5.0, False), (5.005, True), (6.0, False)], 6.5) == []
    assert [type(t) for t in feed(debounce, [(7.0, True), (7.2, False)], 8.0)] == [
        Pressed,
        Released,
    ]


def test_two_presses_close_together_are_two() -> None:
    edges = [(1.0, True), (1.1, False), (1.1 + SETTLE, True), (1.3, False)]
    assert [type(t) for t in feed(Debounce(), edges, 2.0)] == [Pressed, Released, Pressed, Released]


def test_ten_thousand_bounce_trains_are_never_more_than_one_press_each() -> None:
    dice = random.Random(1)
    for _ in range(10_000):
        at, down, edges = 1.0, False, []
        for _ in range(dice.randrange(1, 40)):
            down = not down
            edges.append((at, down))
            at += dice.uniform(0.00001, SETTLE * 0.99)
        if down:
            edges.append((at, False))
        told = feed(Debounce(), edges, at + 1)
        assert [type(t) for t in told] == [Pressed, Released]
        held = edges[-1][0] - edges[0][0]
        assert isinstance(told[1], Released) and told[1].held == pytest.approx(held)


def test_ten_thousand_bounce_trains_start_nothing_unarmed_and_no_knock_does_armed() -> None:
    dice = random.Random(3)
    for armed in (False, True):
        recorder = Recorder()
        answer = PERMIT if armed else PressRefusal.NO_PERMIT
        at = 1.0
        for _ in range(5_000):
            debounce, began = Debounce(), at
            while at < began + SHORTEST_PRESS - SETTLE:
                told = debounce.edge(Edge(at, True))
                at += dice.uniform(0.0001, 0.01)
                told += debounce.edge(Edge(at, False))
                at += dice.uniform(0.0001, SETTLE * 0.99)
                for event in told:
                    recorder.handle(event)
            at += SETTLE
            recorder.handle(Judged(at, answer, pressed=False, left=3600))
            for event in debounce.settle(at):
                for effect in recorder.handle(event):
                    assert not isinstance(effect, Judge), "a knock asked the gate"
            assert recorder.state is (State.READY if armed else State.IDLE)


def test_a_held_button_that_crackles_never_ends_in_a_short_press() -> None:
    dice = random.Random(2)
    for _ in range(1000):
        at, edges = 1.0, [(1.0, True)]
        while at < 1.0 + LONGEST_PRESS + 1:
            at += dice.uniform(0.01, 0.5)
            edges.append((at, False))
            at += dice.uniform(0.0001, SETTLE * 0.99)
            edges.append((at, True))
        edges.append((at + 1, False))
        held = [t.held for t in feed(Debounce(), edges, at + 2) if isinstance(t, Released)]
        assert not any(SHORTEST_PRESS <= h <= LONGEST_PRESS for h in held)


def test_a_pin_tells_its_edges_with_their_times() -> None:
    factory, clock, posted = MockFactory(), FakeClock(), list[Edge]()
    button = Button(17, factory, clock, posted.append)
    assert not button.down
    pin = factory.pin(17)
    start = clock.monotonic()
    pin.drive_low()
    clock.advance(0.2)
    pin.drive_high()
    assert posted == [Edge(start, True), Edge(start + 0.2, False)]
    button.close()


class HeldPin(MockPin):
    """A pin whose button is down: switching the pull-up on does not lift it."""

    def _set_pull(self, value: str) -> None:
        self._pull = value


def test_a_pin_that_is_down_at_the_start_says_so() -> None:
    factory, clock = MockFactory(), FakeClock()
    factory.pin(17, pin_class=HeldPin).drive_low()
    button = Button(17, factory, clock, lambda edge: None)
    assert button.down
    button.close()
