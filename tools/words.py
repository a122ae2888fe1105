"""For Babel: the sentences that reach gettext by another way than its functions.

An error's sentence and hint are translated where the page shows them, and so are refusals. Which
words of a module those are nobody has to say twice: they are its sentences, but for docstrings.
"""

import ast
import re
from collections.abc import Collection, Iterator
from typing import IO, Any

from web_ui.wording import guide as kit_guide

_SENTENCE = re.compile(r"(%\(|[A-Z]).* .*[.?]", re.DOTALL)


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
