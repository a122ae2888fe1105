"""What goes wrong at a visit ends in its promise: every fault, in the real processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.mishaps import MISHAPS, Mishaps
from appliance.rehearsal import Step

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("fault", MISHAPS)
def test_a_fault_ends_in_its_promise(fault: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "rehearse", "--fault", fault, "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    told = json.loads(done.stdout)
    assert told["ok"], told["steps"][-1]
    assert done.returncode == 0
    assert all(step["ok"] for step in told["steps"])
    assert told["steps"][-1]["name"] == "when all is well again, a film is whole"
    assert len(told["steps"]) >= 7


def test_a_light_that_goes_out_unseen_breaks_the_promise_and_is_told(tmp_path: Path) -> None:
    steps: list[Step] = []
    rehearsal = Mishaps(tmp_path, None, 90, [], steps.append, mishaps=("light",))
    rehearsal.kit.configure(read_back_pin=None)
    assert not rehearsal.run()
    assert [step.ok for step in steps].count(False) == 1
    assert not steps[-1].ok and steps[-1].name == "the light goes out while filming"
