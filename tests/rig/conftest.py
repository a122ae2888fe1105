"""The rig: the Pi's camera on the real picamera2 and libcamera. See tests/rig/pytest.sh."""

import importlib.util
import os

import pytest

WHY_NOT = os.environ.get("ATTUNE_NO_RIG") or "only in the rig: run tests/rig/pytest.sh"


@pytest.fixture(scope="session", autouse=True)
def only_in_the_rig() -> None:
    if importlib.util.find_spec("picamera2") is None:
        pytest.skip(WHY_NOT)
