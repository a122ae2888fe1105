"""A film of a hundred numbered frames, and what becomes of it."""

from pathlib import Path

import pytest

from appliance.age.identities import generate_identity
from tests.support import films
from tests.support.segments import (
    RECORDING,
    Recording,
    Segment,
    segments_of,
    split,
    tone,
    write_recording,
)


@pytest.fixture(scope="session")
def stream() -> bytes:
    return films.film(100, sound=tone)


@pytest.fixture(scope="session")
def segments(stream: bytes) -> list[Segment]:
    return segments_of(*split(stream))


@pytest.fixture
def recording(segments: list[Segment], tmp_path: Path) -> Recording:
    return write_recording(tmp_path / RECORDING, segments, generate_identity())
