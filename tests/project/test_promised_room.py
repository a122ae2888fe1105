"""No sentence of ours promises room on the card by sending: what was sent stays on it."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.support.places import PACKAGES, ROOT

_SENDING = re.compile(
    r"\b(send|sends|sending|sent|sync|syncs|synced|uploads?|uploaded|confirmed|receipts?)\b", re.I
)
_ROOM = re.compile(
    r"\b(room for|((not )?enough|no|free|full|more|make|makes|made|making|frees?|freed|clears?"
    r"|cleared) (up |some |the )?(room|space|cards?)|card is full|disk space)\b",
    re.I,
)
_SAYS_SO = re.compile(
    r"(sending|uploading) (does not make|makes no) room|and makes no room on it"
    r"|(sending|uploading) (removes|deletes) nothing|sending makes some: it does not"
    r"|what was sent stays on this one",
    re.I,
)
_OF_THE_STORE = re.compile(r"ask (the|your) service to make room", re.I)
"""It is the store that is full there."""


def promises(text: str) -> Iterator[str]:
    """What speaks of sending and of room on the card in one breath, and does not say that the one
    does not give the other."""
    sentences = [
        " ".join(part.split())
        for part in re.split(r"(?<=[.!?])\s+|\n\s*\n|\n- |\|", text)
        if part.strip()
    ]
    for said in [*map(" ".join, pairwise(sentences)), *sentences[:1]]:
        here = _ROOM.search(_OF_THE_STORE.sub("", said))
        if here and _SENDING.search(said) and not _SAYS_SO.search(said):
            yield said


def texts() -> Iterator[tuple[str, str]]:
    """Everything that people read, each with where it stands."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            for node in ast.walk(ast.parse(path.read_text())):
                # A sentence and its hint are two texts of one call.
                if isinstance(node, ast.Call | ast.Tuple):
                    parts = node.args if isinstance(node, ast.Call) else node.elts
                    yield name, " ".join(map(_text, parts))
                elif isinstance(node, ast.Constant | ast.JoinedStr):
                    yield name, _text(node)
        for pattern in ("*.html", "*.js"):
            for path in sorted((ROOT / package).rglob(pattern)):
                if "vendor" not in path.parts:
                    yield (
                        path.relative_to(ROOT).as_posix(),
                        re.sub("<[^>]*>", " ", path.read_text()),
                    )
    # A decision says what it is not, too.
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]):
        yield path.relative_to(ROOT).as_posix(), path.read_text()


def _text(node: ast.AST) -> str:
    found = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
    return "".join(value for value in found if isinstance(value, str))


def test_no_message_promises_room_on_the_card_by_sending() -> None:
    found = [f"{name}: {said}" for name, text in texts() for said in promises(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "said",
    [
        "There is not enough room on the card. Send what is waiting.",
        "The card is full. Take the kit to base and let it send.",
        "Sending frees space on this kit.",
        "Once everything is confirmed, there is room for new films.",
    ],
)
def test_such_a_message_would_be_found(said: str) -> None:
    assert list(promises(said))
