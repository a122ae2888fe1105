"""The plug is pulled while a kit films, while it ends a film, while a family withdraws."""

import random

import pytest

from tests.vm.machine import Machine
from tests.vm.plug import STAGES, pull


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_promised_is_broken_by_a_pulled_plug(visit: Machine, stage: str) -> None:
    pulled = pull(visit, stage, random.Random())
    print(f"\n{pulled}")
    assert not pulled.broken, pulled
