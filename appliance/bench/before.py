"""An earlier commit of Attune beside the one at hand, to be measured in turn with it.

Both run with the same interpreter and the same libraries: what differs is our own code.
"""

import io
import os
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from appliance.bench import need, run
from appliance.errors import NotPossible

COMMIT = "228743c"
"""What is measured against: the kit before it was made ready for a real Pi."""
HERE = Path(__file__).resolve().parents[2]


def tree(folder: Path) -> Path:
    """What the earlier commit holds, laid out below `folder`. Raises NotPossible without git, or
    where its history is not here."""
    git = need("git")
    known = subprocess.run(
        [git, "-C", HERE, "cat-file", "-e", f"{COMMIT}^{{commit}}"], capture_output=True
    )
    if known.returncode:
        raise NotPossible(
            f"The history of Attune is not here, and {COMMIT} is what is measured against.",
            "Run this in a clone of the whole repository: an installed package has no history, "
            "nor has a clone with --depth.",
        )
    archive = run(git, "-C", HERE, "archive", COMMIT).stdout
    laid_out = folder / COMMIT
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(laid_out, filter="data")
    return laid_out


def surroundings(code: Path) -> Mapping[str, str]:
    """The environment in which Python finds the code of that tree before any other."""
    return {**os.environ, "PYTHONPATH": str(code)}


def console(code: Path, *words: str) -> list[str]:
    """The command `attune` of that tree, as its package starts it."""
    scripts = tomllib.loads((code / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["attune"].partition(":")
    return [sys.executable, "-P", "-c", f"from {module} import {name}; {name}()", *words]
