"""Each page's views stand in its module, and what belongs to one app is in no module."""

import ast
import importlib
import inspect
import pkgutil
import re
from datetime import timedelta
from pathlib import Path
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any

import pytest
from flask import Blueprint

from appliance.records.files import new_id
from tests.support.pages import WebKit
from tests.web_ui.pages.test_status import Events
from web_ui import pages
from web_ui.pages import status

PAGES = [
    importlib.import_module(f"{pages.__name__}.{one.name}")
    for one in pkgutil.iter_modules(pages.__path__)
]
CANNOT_CHANGE = (str, bytes, int, float, timedelta, re.Pattern, type, FunctionType, Blueprint)


def test_every_view_can_be_imported_by_its_module_and_name(tmp_path: Path) -> None:
    app = WebKit(tmp_path).app
    assert {page.pages.name for page in PAGES} == {*app.blueprints}
    for endpoint, view in app.view_functions.items():
        found = getattr(importlib.import_module(view.__module__), view.__qualname__, None)
        assert found is view, f"{endpoint} is {view.__qualname__}"


def may_change(value: Any) -> bool:
    """True for what may come to hold something of one app."""
    if isinstance(value, MappingProxyType):
        return may_change(tuple(value.values()))
    if isinstance(value, tuple):
        return any(may_change(one) for one in value)
    return not isinstance(value, CANNOT_CHANGE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.__name__.rpartition(".")[2])
def test_no_page_keeps_anything_of_one_app_in_its_module(page: ModuleType) -> None:
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(inspect.getsource(page)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    own = {name for name in vars(page) if not name.startswith("__")} - imported
    assert not {name for name in own if may_change(vars(page)[name])}


def test_pages_that_stay_open_on_one_kit_take_no_place_on_another(tmp_path: Path) -> None:
    one, other = WebKit(tmp_path / "one"), WebKit(tmp_path / "other")
    one.unlock(), other.unlock()
    streams = [Events(one) for _ in range(status.STREAMS)]
    assert all(next(stream) for stream in streams)
    assert len(list(Events(one))) == 1, "it has no place left"
    elsewhere = Events(other)
    assert next(elsewhere)
    other.recorder.show(state="filming")
    assert (next(elsewhere) or {})["filming"] is True, "it stays open"
    for stream in (*streams, elsewhere):
        stream.close()


def test_the_files_that_wait_on_one_kit_are_not_counted_for_another(tmp_path: Path) -> None:
    one, other = WebKit(tmp_path / "one"), WebKit(tmp_path / "other")
    for kit, files in ((one, 1), (other, 2)):
        kit.enrol()
        for _ in range(files):
            (kit.home.recordings / new_id()).mkdir(parents=True)
    assert "1 file is not uploaded yet" in one.browser.get("/kit/reset").text
    assert "2 files are not uploaded yet" in other.browser.get("/kit/reset").text
