"""The plug is pulled while a kit films, ends a film, is upgraded, and while a family withdraws."""

import random
from typing import Any

import pytest

from tests.vm.machine import Machine
from tests.vm.plug import STAGES, Pulled, broken_promises, figures, pull, rarest


class AtOnce(random.Random):
    """The earliest moment of a stage."""

    def uniform(self, a: float, b: float) -> float:
        return a


# The earliest moment comes last: its disk has had films since the moment that is gone on from.
@pytest.mark.parametrize("stage", sorted(STAGES, key="starting".__eq__))
def test_nothing_promised_is_broken_by_a_pulled_plug(visit: Machine, stage: str) -> None:
    pulled = pull(visit, stage, AtOnce() if stage == "starting" else random.Random())
    print(f"\n{pulled}")
    assert not pulled.broken, pulled


FILM = {"ended": "power", "last": 40, "gapless": True, "words": ""}
FOUND = {"state": "idle", "withdrawn": False, "films": [FILM], "verify": 0, "verify_said": ""}
MENDED = {"unlocked": 200, "opened_at": "/cases", "verify": 0, "verify_said": ""}


@pytest.mark.parametrize(
    ("found", "mended", "lost"),
    [
        ({"state": "filming"}, {}, 0.0),
        ({"films": [FILM, FILM]}, {}, 0.0),
        ({"films": [FILM | {"ended": None}]}, {}, 0.0),
        ({"films": [FILM | {"gapless": False}]}, {}, 0.0),
        ({"verify": 1, "verify_said": "broken"}, {}, 0.0),
        ({"withdrawn": True, "left": ["identity-0001.age"]}, {}, 0.0),
        ({}, {"verify": 3}, 0.0),
        ({}, {"opened_at": "/unlock"}, 0.0),
        ({}, {}, 1.1),
    ],
)
def test_a_broken_promise_is_told(
    found: dict[str, Any], mended: dict[str, Any], lost: float
) -> None:
    assert not broken_promises(FOUND, MENDED, 1.0)
    assert broken_promises(FOUND | found, MENDED | mended, lost)


def test_what_is_lost_is_what_the_camera_had_and_the_film_has_not() -> None:
    filming = Pulled("filming", 2.0, 47, 41, False, (), 60.0)
    withdrawn = Pulled("withdrawing", 1.0, 40, -1, True, ("left",), 60.0)
    assert (filming.lost, withdrawn.lost) == (0.6, 0.0)
    told = figures([filming, withdrawn], "2026-01-02").splitlines()
    assert "| filming | 1 | 0 | 0.6 s | 0.6 s |" in told
    assert "| withdrawing | 1 | 1 | - | - |" in told
    assert "| all | 2 | 1 | 0.6 s | 0.6 s |" in told


def test_every_stage_comes_as_often_as_the_others() -> None:
    begun: list[str] = ["filming"]
    while len(begun) < 2 * len(STAGES):
        begun.append(rarest(begun))
    assert {begun.count(stage) for stage in STAGES} == {2}
