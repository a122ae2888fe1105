"""Chromium, driven by Playwright, for what is measured in a browser or comes from one."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from appliance.bench import need
from appliance.errors import NotPossible


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """It runs until the end. Raises NotPossible where Chromium or Playwright is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise NotPossible(
            "There is no Playwright to drive a browser with.", "Set up for tests: make check."
        ) from error
    program = need("chromium")
    # Chromium refuses its own sandbox to root.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    options += ["--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=options)
        try:
            yield browser
        finally:
            browser.close()
