"""A language that nobody speaks: every sentence of the page between brackets, a third longer.

Its catalogue is made of the page's sources. Dates come in Chinese, so that whatever Latin letters
stand outside the brackets was never given to gettext.
"""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from jinja2 import Environment

import appliance
import web_ui
from web_ui.wording import guide

LANGUAGE = "zh"
OPEN, CLOSE = "⟦", "⟧"
_PLACE = re.compile(r"(%\(\w+\)s|\{\w+\})")
_SPOKEN = {"alt", "title", "aria-label", "placeholder", "data-silent"}

_UNSPOKEN = {"script", "style", "kbd", "svg", "textarea"}
_CODES = {"app-words", "app-code"}


def catalogue(folder: Path) -> Path:
    """Write the pseudo-language's catalogue below `folder`; returns `folder`."""
    made = Catalog(locale=LANGUAGE)
    for sentence in _sentences():
        one, many = sentence if isinstance(sentence, tuple) else (sentence, "")
        if many:
            made.add((one, many), (pseudo(many),))
        elif one.strip():
            made.add(one, pseudo(one))
    place = folder / LANGUAGE / "LC_MESSAGES"
    place.mkdir(parents=True)
    with (place / "messages.mo").open("wb") as file:
        write_mo(file, made)
    return folder


def pseudo(sentence: str) -> str:
    longer = " ~~~~" * (1 + len(sentence) // 15)
    return f"{OPEN}{sentence}{longer}{CLOSE}"


def not_translated(page: str, data: set[str]) -> list[str]:
    """What a person would read on this page in plain letters, but for the words in `data`."""
    found = []
    for text in _Spoken.of(page):
        rest = _without_brackets(text)
        for word in sorted(data, key=len, reverse=True):
            rest = rest.replace(word, "")
        if re.search("[A-Za-z]{2}", rest):
            found.append(" ".join(text.split()))
    return found


def _without_brackets(text: str) -> str:
    inner = re.compile(f"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}")
    while inner.search(text):
        text = inner.sub("", text)
    return text


def _sentences() -> Iterator[str | tuple[str, str]]:
    """Everything that could be given to gettext; too much does no harm here."""
    yield from (words for _line, words in guide.sentences(guide.FILE.read_text()))
    jinja = Environment(extensions=["jinja2.ext.i18n"])
    for package in (web_ui, appliance):
        here = Path(str(package.__file__)).parent
        for template in here.rglob("*.html"):
            for _line, name, told in jinja.extract_translations(template.read_text()):
                # What is filled in comes as None.
                one, *more = told if isinstance(told, tuple) else (told,)
                if one is not None:
                    yield (one, str(more[0])) if name == "ngettext" else one
        for module in here.rglob("*.py"):
            yield from _constants(ast.parse(module.read_text()))


def _constants(tree: ast.Module) -> Iterator[str | tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ngettext":
            one, many = node.args[:2]
            if isinstance(one, ast.Constant) and isinstance(many, ast.Constant):
                yield str(one.value), str(many.value)


class _Spoken(HTMLParser):
    """Every text and every spoken attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._unseen: list[str] = []

    @classmethod
    def of(cls, page: str) -> list[str]:
        reader = cls()
        # A word that is stressed is part of its sentence.
        reader.feed(re.sub(r"</?(?:em|strong)>", "", page))
        return reader.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = set((dict(attrs).get("class") or "").split())
        # Words and digits that are nobody's language have elements of their own.
        if tag in _UNSPOKEN or classes & _CODES:
            self._unseen.append(tag)
        self.found += [value for name, value in attrs if name in _SPOKEN and value]

    def handle_endtag(self, tag: str) -> None:
        if self._unseen and self._unseen[-1] == tag:
            self._unseen.pop()

    def handle_data(self, data: str) -> None:
        if not self._unseen and data.strip():
            self.found.append(data)
