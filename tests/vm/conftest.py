"""A kit in a virtual machine, with pins of its own and a plug. See tests/rig/vm.sh."""

import os
from collections.abc import Iterator

import pytest

from tests.vm.machine import Machine
from tests.vm.plug import ARMED, armed

WHY_NOT = "only in a virtual machine: run tests/rig/vm.sh"


@pytest.fixture(scope="session")
def on_a_machine() -> None:
    if "ATTUNE_VM" not in os.environ:
        pytest.skip(os.environ.get("ATTUNE_NO_VM") or WHY_NOT)


@pytest.fixture(scope="session")
def visit(on_a_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine that keeps the moment at which its kit is armed; it does not run."""
    return armed(tmp_path_factory.mktemp("visit"))


@pytest.fixture(scope="module")
def machine(visit: Machine) -> Iterator[Machine]:
    """A kit that is armed, and runs until the tests of a file are through."""
    with visit:
        visit.start(ARMED)
        yield visit
