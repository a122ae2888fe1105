"""The words that people read: where they stand, and which they may not be.

For Babel: the sentences that reach gettext by another way than its functions. An error's sentence
and hint are translated where the page shows them, and so are refusals. Which words of a module
those are nobody has to say twice: they are its sentences, but for docstrings.

`python tools/words.py` lists every word that stands in `tools/words.toml` and is read by people.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg

from web_ui.wording import guide as kit_guide

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tools" / "words.toml"

_SENTENCE = re.compile(r"(%\(|[A-Z]).* .*[.?]", re.DOTALL)
_FILLED_IN = re.compile(r"%\(\w+\)[\d.]*\w")
_PICTURE = re.compile(r"!?\]\([^)]*\)")


def sentences(
    file: IO[bytes], keywords: Any, comment_tags: Collection[str], options: Any
) -> Iterator[tuple[int, None, str, list[str]]]:
    """Line, function (none), words and comments (none) of each, as Babel's extractors give them."""
    tree = ast.parse(file.read())
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(words := node.value, str):
            continue
        if id(node) not in notes and _SENTENCE.fullmatch(words):
            yield node.lineno, None, words, []


def guide(
    file: IO[bytes], keywords: Any, comment_tags: Collection[str], options: Any
) -> Iterator[tuple[int, None, str, list[str]]]:
    """The same of the guide, whose paragraphs the page shows one by one."""
    for line, words in kit_guide.sentences(file.read().decode()):
        yield line, None, words, []


@dataclass(frozen=True)
class Rule:
    """A word that is not ours, the one that is, and where it is the right one all the same."""

    word: re.Pattern[str]
    use: str
    unless: re.Pattern[str] | None

    def breaks(self, text: str) -> str:
        """The word as it stands in the text, '' if it does not."""
        text = _FILLED_IN.sub(" ", text)
        found = self.word.search(self.unless.sub(" ", text) if self.unless else text)
        return found[0] if found else ""


def rules() -> list[Rule]:
    """All rules of the table."""
    return [
        Rule(
            re.compile(rule["word"], re.IGNORECASE),
            rule["use"],
            re.compile(rule["unless"], re.IGNORECASE) if "unless" in rule else None,
        )
        for rule in _table()["rule"]
    ]


def read_by_people() -> Iterator[tuple[str, int, str]]:
    """File, line and words of everything that people read: on the page and in their documents."""
    table = _table()
    with (ROOT / "tools" / "words.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    # `sentences` is found by its name, as Babel does for a mapping's [extractors].
    for name, line, words, _comments, _context in extract_from_dir(ROOT, methods, options):
        if name.startswith(tuple(table["read_by_people"])):
            for text in [words] if isinstance(words, str) else words:
                yield name, line, text
    for name in table["documents"]:
        for line, text in enumerate((ROOT / name).read_text().splitlines(), 1):
            yield name, line, _PICTURE.sub("]", text)


def broken() -> Iterator[str]:
    """Each word that may not be there: where it stands, and what to write in its place."""
    every = rules()
    for name, line, text in read_by_people():
        for rule in every:
            if word := rule.breaks(text):
                yield f"{name}:{line}: {word!r} in {text!r}; we say: {rule.use}"


def _table() -> dict[str, Any]:
    return tomllib.loads(TABLE.read_text())


if __name__ == "__main__":
    found = list(broken())
    print("\n".join(found))
    sys.exit(bool(found))
