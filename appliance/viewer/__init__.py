"""The viewer: one HTML file that opens sealed clips in any browser, without a network.

It is made of `parts/` and typage (npm `age-encryption`) by `tools/make_viewer.py`, at set-up and
for the package, for the kit runs no Node. Made of the same sources it is the same, byte for byte.
"""

import hashlib
from pathlib import Path

from appliance.errors import NotPossible
from appliance.records.files import read_plain

NAME = "viewer.html"
"""What it is called wherever it is handed out."""
_BUILT = Path(__file__).with_name(NAME)


def viewer() -> bytes:
    """The file. Raises NotPossible where it was not made."""
    try:
        return read_plain(_BUILT)
    except OSError as error:
        raise NotPossible(
            "The viewer is not on this computer.",
            "In a checkout `tools/setup demo` makes it; a package brings it.",
        ) from error


def digest() -> str:
    """Its SHA-256, as `sha256sum` prints it. Raises NotPossible."""
    return hashlib.sha256(viewer()).hexdigest()
