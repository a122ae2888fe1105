"""The button and the light on pins of a real kernel, through gpiozero and lgpio."""

from itertools import pairwise

from tests.vm.machine import Machine


def test_pins_of_a_kernel_press_and_light(machine: Machine) -> None:
    """A whole film by button."""
    before = machine.ask("status")
    assert before["state"] == "ready" and before["lamp_proven"] and not before["virtual"]

    machine.ask("press")
    machine.ask("shows", state="filming", frames=20)
    # Solid light: not one edge.
    assert [lit for _, lit in machine.ask("lamp", seconds=3)] == [True]
    machine.ask("press")
    ended = machine.ask("shows", ended="button", state="ready")
    assert ended["frames_in"] == ended["frames_out"] >= 20

    # The slow pulse says that a press would film again.
    seen = machine.ask("lamp", seconds=8)
    assert len(seen) >= 4
    assert all(after - before > 0.5 for (before, _), (after, _) in pairwise(seen[1:]))


def test_a_long_press_starts_nothing(machine: Machine) -> None:
    films = machine.run("ls", "/var/lib/attune/recordings")
    # Any longer, and it would remove the last film.
    machine.ask("press", seconds=3)
    machine.ask("shows", state="ready")
    assert machine.run("ls", "/var/lib/attune/recordings") == films


def test_a_cut_wire_ends_the_film(machine: Machine) -> None:
    machine.ask("press")
    machine.ask("shows", state="filming", frames=5)
    machine.run("touch", "/run/vm/wire-cut")
    # What the wire now says is not what the lamp was set to.
    machine.run("sh", "-c", "echo pull-down >/run/vm/pins/sim_gpio22/pull")
    ended = machine.ask("shows", ended="light-failed")
    assert ended["state"] != "filming"
    machine.run("rm", "/run/vm/wire-cut")
