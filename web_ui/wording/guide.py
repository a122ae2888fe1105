"""The guide in parts: guide.md is what the documents link to and what a kit shows as Help.

A line `<!-- name -->` begins a part, whose heading follows it. Each heading, paragraph, point and
cell is one sentence for a translator, as it stands in the file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from re import MULTILINE
from re import split as split_at
from types import MappingProxyType

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

FILE = Path(__file__).parent.parent / "guide.md"
_LOOKS = MappingProxyType(
    {
        "h2": "nhsuk-heading-m",
        "ul": "nhsuk-list nhsuk-list--bullet",
        "ol": "nhsuk-list nhsuk-list--number",
        "table": "nhsuk-table app-guide__table",
        "th": "nhsuk-table__header",
        "td": "nhsuk-table__cell",
    }
)
"""How the design system calls what Markdown has."""


@dataclass(frozen=True)
class Part:
    """One page of Help."""

    title: str
    text: str
    """Markdown, without the heading."""

    def html(self, say: Callable[[str], str], tables: bool = True) -> Markup:
        """The part as the page shows it, each sentence put through `say`. Pictures of the page are
        left out, as whoever reads this has the page itself; so are tables, if asked."""
        reader = _reader()
        lines = (line for line in self.text.split("\n") if tables or not line.startswith("|"))
        tokens = [*_without_pictures(reader.parse("\n".join(lines)))]
        for token in tokens:
            if token.type == "inline":
                token.children = reader.parseInline(say(token.content))[0].children
            # The part's own heading is the page's first.
            token.tag = "h2" if token.tag == "h3" else token.tag
            if token.nesting == 1 and token.tag in _LOOKS:
                token.attrSet("class", _LOOKS[token.tag])
        return Markup(reader.renderer.render(tokens, reader.options, {}))  # noqa: S704 - our own


def parts() -> Mapping[str, Part]:
    """Every part by its name, in their order."""
    _before, *pieces = split_at(r"^<!-- ([\w-]+) -->\n## (.+)\n", FILE.read_text(), flags=MULTILINE)
    return MappingProxyType(
        {
            name: Part(title, text)
            for name, title, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
        }
    )


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """The line and the words of everything in a Markdown text that somebody has to translate."""
    for token in _without_pictures(_reader().parse(text)):
        if token.type == "inline":
            yield (token.map or [0])[0] + 1, token.content


def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def _without_pictures(tokens: list[Token]) -> Iterator[Token]:
    """All but the paragraphs that are a picture."""
    pictures = {
        near
        for at, token in enumerate(tokens)
        if token.type == "inline" and [one.type for one in token.children or ()] == ["image"]
        for near in (at - 1, at, at + 1)
    }
    return (token for at, token in enumerate(tokens) if at not in pictures)
