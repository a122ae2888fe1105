"""A new kit in a virtual machine with radios, a USB socket and sound. See tests/rig/vm.sh."""

from collections.abc import Iterator

import pytest

from tests.vm.machine import FULL, Machine

STARTED = "started"


@pytest.fixture(scope="session")
def first_start(on_a_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine that keeps the moment at which the page of a new kit is there; it does not run."""
    machine = Machine(tmp_path_factory.mktemp("first-start"), image=FULL)
    with machine:
        machine.start()
        machine.ask("await_page")
        machine.keep(STARTED)
    return machine


@pytest.fixture(scope="module")
def kit(first_start: Machine) -> Iterator[Machine]:
    """A new kit with a radio and a USB socket, until the tests of a file are through."""
    with first_start:
        first_start.start(STARTED)
        yield first_start
