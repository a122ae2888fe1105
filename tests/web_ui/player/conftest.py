"""A kit with one film."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import WebKit
from tests.support.watching import with_film


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebKit]:
    """One kit with one film for all tests that only look."""
    with WebKit(tmp_path_factory.mktemp("kit")) as made:
        yield with_film(made)


@pytest.fixture
def own_kit(tmp_path: Path) -> Iterator[WebKit]:
    """A kit for a test that changes something."""
    with WebKit(tmp_path) as made:
        yield with_film(made)
