"""What most tests of the page begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import WebKit


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    """A kit that a practitioner has unlocked. A module with another beginning has its own."""
    with WebKit(tmp_path) as made:
        made.unlock()
        yield made
