"""Pull the plug of a kit in the midst of a visit, again and again, and say what it cost.

    python -m tests.vm.plug TIMES RESULTS    until RESULTS holds so many, however often it is begun

Each time the visit goes on from the same kept moment: the kit is armed and a press would film. The
plug is pulled at a random moment of one stage; then the kit boots, and what it finds is looked at.
"""

import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.vm.machine import Machine

FRAME_RATE = 10
MOST_LOST = 1.0
"""Seconds of film."""
ARMED = "armed"
STAGES = {"starting": 2.0, "filming": 8.0, "closing": 1.5, "withdrawing": 1.5}
"""Each with the seconds after its beginning up to which the plug may be pulled."""


@dataclass(frozen=True)
class Pulled:
    """One pulled plug and what was found after it."""

    stage: str
    after: float
    """Seconds from the beginning of the stage."""
    filmed: int
    """The number of the last picture that the camera had; -1 for none."""
    opened: int
    """The number of the last picture in the film that opens; -1 for none."""
    withdrawn: bool
    broken: tuple[str, ...]
    """What is not as promised."""
    seconds: float
    """What all of it took."""

    @property
    def lost(self) -> float:
        """Seconds of film; none where the family has withdrawn it."""
        return 0.0 if self.withdrawn else (self.filmed - self.opened) / FRAME_RATE


def armed(directory: Path) -> Machine:
    """A machine whose disk keeps the moment to go on from; it does not run."""
    machine = Machine(directory)
    with machine:
        machine.start()
        machine.ask("prepare")
        machine.keep(ARMED)
    return machine


def pull(machine: Machine, stage: str, chance: random.Random) -> Pulled:
    """Visit up to a random moment of `stage`, pull the plug there, boot and look."""
    began, after = time.monotonic(), chance.uniform(0, STAGES[stage])
    with machine:
        machine.start(ARMED)
        if stage == "starting":
            machine.say("press")
        else:
            machine.ask("press")
            machine.ask("shows", state="filming", frames=10)
        if stage == "closing":
            machine.say("press")
        elif stage == "withdrawing":
            machine.ask("press")
            machine.ask("shows", ended="button", state="ready")
            machine.ask("withdraw")
        time.sleep(after)
    filmed = machine.last_number()
    opened, withdrawn = -1, False
    with machine:
        try:
            machine.start()
            found = machine.ask("look")
            withdrawn = found["withdrawn"]
            opened = max((film["last"] for film in found.get("films", [])), default=-1)
            lost = 0.0 if withdrawn else (filmed - opened) / FRAME_RATE
            broken = broken_promises(found, machine.ask("mend"), lost)
        except AssertionError as error:
            broken = [f"the kit does not answer as it should: {str(error)[-2000:]}"]
    return Pulled(
        stage,
        round(after, 2),
        filmed,
        opened,
        withdrawn,
        tuple(broken),
        round(time.monotonic() - began, 1),
    )


def broken_promises(found: dict[str, Any], mended: dict[str, Any], lost: float) -> list[str]:
    """What is not as it should be in what the agent's `look` and `mend` found."""
    told = []
    if found["state"] != "idle":
        told.append(f"it did not come up idle, but {found['state']}")
    if lost > MOST_LOST:
        told.append(f"{lost:.1f} s of film are lost")
    for film in found.get("films", []):
        if film["ended"] is None or not film["gapless"]:
            told.append(f"a film is not as it was filmed: {film}")
    if len(found.get("films", [])) > 1:
        told.append("it filmed again by itself")
    if found.get("left"):
        told.append(f"half withdrawn: {found['left']} are left")
    told += [f"verify: {seen['verify_said']}" for seen in (found, mended) if seen["verify"]]
    if mended["unlocked"] != 200 or mended["opened_at"] == "/unlock":
        told.append(f"it cannot be unlocked: {mended}")
    return told


def figures(results: list[Pulled]) -> str:
    """What all of them came to, for a document."""
    lost = [one.lost for one in results if not one.withdrawn]
    stages = Counter(one.stage for one in results)
    broken = sum(bool(one.broken) for one in results)
    told = ", ".join(f"{stages[stage]} {stage}" for stage in STAGES)
    return f"{len(results)} pulled plugs ({told}): {broken} with a promise broken; film lost: " + (
        f"median {statistics.median(lost):.1f} s, most {max(lost):.1f} s"
        if lost
        else "none to lose"
    )


def read(path: Path) -> list[Pulled]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [
        Pulled(**{**(line := json.loads(text)), "broken": tuple(line["broken"])}) for text in lines
    ]


def main(times: int, path: Path) -> int:
    results = read(path)
    chance = random.Random()
    with tempfile.TemporaryDirectory(prefix="attune-plug-", dir="/var/tmp") as place:
        machine = armed(Path(place)) if len(results) < times else None
        while machine and len(results) < times:
            stage = list(STAGES)[len(results) % len(STAGES)]
            results.append(pull(machine, stage, chance))
            with open(path, "a") as file:
                file.write(json.dumps(asdict(results[-1])) + "\n")
                file.flush()
                os.fsync(file.fileno())
            print(f"{len(results)}: {results[-1]}", flush=True)
    print(figures(results))
    return 1 if any(one.broken for one in results) else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
