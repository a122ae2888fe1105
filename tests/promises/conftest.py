"""A real recorder on this computer, armed as the page arms it, for the tests of the promises."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.config import Config
from appliance.selftest.kit import Kit, free_port
from appliance.selftest.visit import Visit


@pytest.fixture
def new_visit(tmp_path: Path) -> Iterator[Callable[..., Visit]]:
    """Makes a visit; settings of the kit by name. Everything is stopped at the end."""
    started: list[Kit] = []

    def begin(**settings: Any) -> Visit:
        config = Config(
            home=str(tmp_path / "home"),
            run=str(tmp_path / "run"),
            camera="scene",
            width=320,
            height=180,
            # As much as a real film has, so that a card fills and a search finds.
            bit_rate=4_000_000,
            segment_seconds=3,
            port=free_port(),
        )
        kit = Kit(msgspec.structs.replace(config, **settings), tmp_path / "logs")
        started.append(kit)
        return Visit.begin(kit)

    yield begin
    for kit in started:
        kit.__exit__(None, None, None)


@pytest.fixture
def visit(new_visit: Callable[..., Visit]) -> Visit:
    """A visit at which somebody has vouched for the time."""
    visit = new_visit()
    visit.vouch()
    return visit
