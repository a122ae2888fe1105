"""What all tests share: how hypothesis searches, that Ctrl-C counts, a sound card that is none.

A test of a module lies in tests/ as the module lies in the code, and belongs to `make check` unless
it is marked `interop` (another implementation is asked) or `slow`. What is about the repository is
in project/, what tests stand on in support/. The other folders are tiers of their own: see
tools/tiers.py.
"""

import os
import signal
import struct
import time
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The same examples each time, so that a red run is red again; no deadline, since a busy machine is
# not a broken kit.
settings.register_profile("attune", derandomize=True, deadline=None)
settings.load_profile("attune")

# Whoever starts us in the background has SIGINT ignored, and so would every program we start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A day of the tests ends at the same moment wherever they are run.
os.environ["TZ"] = "UTC0"
time.tzset()

CLAP = struct.pack("<96h", *[20_000] * 96)


@pytest.fixture(autouse=True)
def as_urgent_as_before() -> Iterator[None]:
    """A library that takes real time for this process, as some encoders do for root, would have
    every later test, and whatever it starts, keep all others from the processors."""
    before = os.sched_getscheduler(0)
    yield
    assert os.sched_getscheduler(0) == before


@pytest.fixture(scope="session")
def alsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """ALSA with settings of our own: `clapping` hears a clap each second, for a minute."""
    place = tmp_path_factory.mktemp("alsa")
    (place / "heard.raw").write_bytes(CLAP.ljust(2 * 48_000, b"\0") * 60)
    (place / "asound.conf").write_text(
        f"""
        pcm.null {{ type null }}
        pcm.clapping {{
            type file
            slave.pcm null
            file /dev/null
            infile {place}/heard.raw
            format raw
        }}
        """
    )
    before = os.environ.get("ALSA_CONFIG_PATH")
    os.environ["ALSA_CONFIG_PATH"] = str(place / "asound.conf")
    yield
    del os.environ["ALSA_CONFIG_PATH"]
    if before is not None:
        os.environ["ALSA_CONFIG_PATH"] = before
