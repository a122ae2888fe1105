"""What goes wrong at a visit ends in its promise: every fault, in the real processes."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.film.recording import open_recording
from appliance.protocol.permits import PressRefusal
from appliance.selftest.faults import FAULT_KINDS, FaultRehearsal
from appliance.selftest.rehearsal import Rehearsal
from appliance.selftest.seen import Step
from appliance.selftest.visit import Visit

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("fault", FAULT_KINDS)
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
    rehearsal = Rehearsal(tmp_path, None, 90, [], steps.append)
    faults = FaultRehearsal(rehearsal, ("light",))
    rehearsal.kit.configure(read_back_pin=None)
    assert not faults.run()
    assert [step.ok for step in steps].count(False) == 1
    assert not steps[-1].ok and steps[-1].name == "the light goes out while filming"


@pytest.fixture
def small_card(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 MiB on which the kit of this test lives."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a small card")
    card = tmp_path / "home"
    card.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", card], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no small card can be made here: {made.stderr.strip()}")
    yield card
    subprocess.run(["umount", "--lazy", card], check=True)


def fill(card: Path) -> Path:
    """Write until the system says that there is no room."""
    filler = card / "filler"
    with open(filler, "ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return filler


def test_a_card_that_others_fill_while_filming_ends_the_film_and_what_is_sealed_opens(
    small_card: Path, new_visit: Callable[..., Visit]
) -> None:
    visit = new_visit()
    visit.vouch()
    visit.arm(limit=60)
    began = visit.film()
    visit.kit.recorder_shows("two seconds", lambda s: s.limit - s.remaining > 2)
    filler = fill(small_card)
    ended = visit.kit.recorder_shows("a fault", lambda s: s.state == "fault", 30)
    assert (ended.reason, ended.light) == ("disk-failed", "fault")
    directory = visit.kit.home.recording(began.recording)
    with closing(open_recording(directory, [visit.case.identity])) as opened:
        assert len(opened.film.frames) == ended.frames_out > 0
        assert opened.manifest.ended is not None
    fill(small_card)
    visit.kit.press(0.1)
    visit.kit.recorder_shows("why not", lambda s: s.reason == PressRefusal.CARD_FULL.value)
    filler.unlink()
    visit.kit.recorder_shows("ready", lambda s: s.state == "ready")
