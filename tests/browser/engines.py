"""Browsers by what a person does in them, so that one walk is walked in each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from playwright.sync_api import Page


class Engine(Protocol):
    """A browser with one window."""

    def go(self, address: str, /) -> None:
        """Be at this address."""

    def run(self, script: str, /, *given: Any) -> Any:
        """What the body of a function returns, or resolves to, in the page; `arguments` are what
        was given."""

    def type(self, field: str, text: str, /) -> None:
        """Add letters to what a field holds."""

    def click(self, what: str, /) -> None: ...

    def choose(self, field: str, files: Sequence[Path], /) -> None:
        """Choose files."""


class Chromium:
    """A window of Chromium."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def go(self, address: str, /) -> None:
        self.page.goto(address)

    def run(self, script: str, /, *given: Any) -> Any:
        work = f"(given) => (function() {{ {script} }}).apply(null, given)"
        return self.page.evaluate(work, list(given))

    def type(self, field: str, text: str, /) -> None:
        self.page.locator(field).press_sequentially(text)

    def click(self, what: str, /) -> None:
        self.page.click(what)

    def choose(self, field: str, files: Sequence[Path], /) -> None:
        self.page.set_input_files(field, list(files))
