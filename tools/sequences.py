"""Play a thousand sequences of what may happen to a service, and write down how many held.

    python tools/sequences.py               seeds 0 to 999, then docs/sequences.md
    python tools/sequences.py 17            one seed: each of its steps, and what did not hold
    python tools/sequences.py 1000 1999     others

A seed is one sequence (`tests/support/sequences.py`): forty steps over five kits and twenty
families, and then one contact of each kit and base, there and back. Each result is a line in
build/sequences.jsonl with the digest of the code that it is about: begun again, only what is
missing is played. Exit 0 if every one held, else 1.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.judging import Played, replay  # noqa: E402
from tests.support.sequences import CASES, KITS, STEPS, beginning  # noqa: E402

KEPT = ROOT / "build" / "sequences.jsonl"
DOCUMENT = ROOT / "docs" / "sequences.md"
SEEDS = 1000
NOT_PLAYED = "appliance.media"
"""What is seen and heard in a film is nothing that a sequence asks about."""


@dataclass(frozen=True)
class Result:
    """What came of one seed."""

    digest: str
    """Of the code."""
    seed: int
    wrong: str
    """The last line of what did not hold, '' if all did."""


def digest() -> str:
    """Of all the code that a sequence plays, and of the sequences."""
    beginning()  # All is loaded then, and it is made once for every process that is begun after.
    found = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or "/")
        inside = path.is_relative_to(ROOT) and ".venv" not in path.relative_to(ROOT).parts
        if inside and name != "__main__" and not name.startswith(NOT_PLAYED):
            found.update(f"{name}\n".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def kept(code: str) -> dict[int, Result]:
    """What was played of this code already."""
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    results = [Result(**json.loads(line)) for line in lines]
    return {one.seed: one for one in results if one.digest == code}


def play(seed: int) -> tuple[int, Played]:
    return seed, replay(seed)


def results(code: str, seeds: list[int]) -> Iterator[Result]:
    """Play these on all processors, and keep each result."""
    KEPT.parent.mkdir(exist_ok=True)
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool, open(KEPT, "a") as kept:
        for seed, played in pool.imap_unordered(play, seeds):
            wrong = (played.wrong.strip().splitlines() or [""])[-1]
            result = Result(code, seed, wrong)
            print(json.dumps(asdict(result)), file=kept, flush=True)
            yield result


def document(code: str, found: dict[int, Result]) -> str:
    """How many held, in words."""
    held = sum(not one.wrong for one in found.values())
    wrong = [f"- seed {one.seed}: {one.wrong}" for one in found.values() if one.wrong]
    return "\n".join(
        [
            "# A service by chance",
            "",
            "Written by `python tools/sequences.py`. One seed is one sequence of "
            f"{STEPS} steps over {KITS} kits and {CASES} families: films, withdrawals, holds, "
            "shares, revocations, a second home for a case, the store restored from a copy or "
            "robbed of objects, a second base, one with old keys and one that has the lease, "
            "courses that end and what is removed after, new cards and cases sealed anew, kits set "
            "back for other hands, strangers' orders, and "
            "`kill -9` in the midst of any of them. After each step nothing has gone that nobody "
            "took back, and nothing that is held. After one contact of each kit and base nothing "
            "withdrawn opens with any key, every other film is at the store and opens, every hold "
            "is known and every order is answered, or waits for the service's yes, which it then "
            "gets. `python tools/sequences.py SEED` plays one again, and tells its steps.",
            "",
            f"**{held} of {len(found)} held**, seeds {min(found)} to {max(found)}, on the code "
            f"whose digest is `{code}`.",
            *(["", *wrong] if wrong else []),
            "",
        ]
    )


def main() -> int:
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    reader.add_argument("first", type=int, nargs="?", help="a seed, or the first of several")
    reader.add_argument("last", type=int, nargs="?")
    asked = reader.parse_args()
    if asked.first is not None and asked.last is None:
        played = replay(asked.first)
        print("\n".join([*played.steps, played.wrong or "All of it held."]))
        return bool(played.wrong)
    first, last = asked.first or 0, SEEDS - 1 if asked.last is None else asked.last
    code = digest()
    found = {seed: one for seed, one in kept(code).items() if first <= seed <= last}
    for one in results(code, [seed for seed in range(first, last + 1) if seed not in found]):
        found[one.seed] = one
        print(f"{len(found)} of {last - first + 1}: seed {one.seed} {one.wrong or 'held'}")
    found = dict(sorted(found.items()))
    if (first, last) == (0, SEEDS - 1):
        DOCUMENT.write_text(document(code, found))
    return any(one.wrong for one in found.values())


if __name__ == "__main__":
    sys.exit(main())
