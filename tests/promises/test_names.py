"""Danger 27: no log, no file, no name and no address tells who the family is, here or there."""

import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

from appliance.selftest.browser import Answer, Page
from appliance.selftest.kit import Kit
from appliance.selftest.rehearsal import (
    CHECK_WORD,
    CHILD,
    GOAL,
    LABEL,
    PERSON,
    Rehearsal,
    stock_age,
)

NAMES = (LABEL, CHECK_WORD, GOAL, PERSON, CHILD)
CANARIES = {
    form.encode() for name in NAMES for form in (name, name.lower(), quote(name), quote_plus(name))
}


class NotingPage(Page):
    """A browser that keeps every address it was at."""

    def __init__(self, kit: Kit) -> None:
        known = kit.page()
        super().__init__(known.address, kit.home.keys / "tls.crt")
        self.addresses: list[str] = []

    def _send(self, request: urllib.request.Request) -> Answer:
        answer = super()._send(request)
        self.addresses += [request.full_url, answer.path]
        return answer


class Searched(Rehearsal):
    """A whole visit; after each of its steps everything is searched that it has left anywhere."""

    searched: int = 0
    noting: NotingPage

    def start(self) -> str:
        told = super().start()
        self.page = self.noting = NotingPage(self.kit)
        return told

    def step(self, name: str, act: Callable[[], str]) -> None:
        super().step(name, act)
        assert self.steps[-1].saw
        found = told_by(self.root)
        assert not found, f"after '{name}': {found}"
        self.searched += 1


def told_by(root: Path) -> list[str]:
    """The files below `root` in whose name or content a word of the family stands: the kit's home,
    what it keeps in memory, what its processes print (their journal), and the service's store."""
    found = []
    for path in sorted(root.rglob("*")):
        told = path.relative_to(root).as_posix().encode()
        if path.is_file():
            told += path.read_bytes()
        if any(canary in told for canary in CANARIES):
            found.append(path.relative_to(root).as_posix())
    return found


def test_5_nothing_that_a_visit_leaves_here_or_at_the_service_names_the_family(
    tmp_path: Path,
) -> None:
    visit = Searched(tmp_path, None, 10, stock_age(None), lambda step: None)
    assert visit.run(), visit.steps[-1]
    assert visit.searched == len(visit.steps) > 15
    addresses = " ".join(visit.noting.addresses).encode()
    assert b"/cases/" in addresses
    assert not [canary for canary in CANARIES if canary in addresses]
    # And it would have been seen.
    (tmp_path / "service" / f"note of {CHILD}").write_text("nothing")
    (tmp_path / "logs" / "leak").write_text(f"a log that speaks of {GOAL.lower()}")
    assert told_by(tmp_path) == ["logs/leak", f"service/note of {CHILD}"]
