"""Every module and file of ours that stands in a text is there: in a command, a list, a document.

No type checker reads `-m appliance.media.decoder`, a path in a list of files or a name in a
docstring: after a move they would only fail where they are used, or mislead for years.
"""

import ast
import configparser
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from tests.support.places import PACKAGES, ROOT

DOTTED = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+")
# By the name of its room alone, as one module speaks of another.
SHORT = re.compile(
    r"`((?:records|age|film|protocol|media|vault|casework|selftest|commands|stores|"
    r"pages|session|player|wording|system|housekeeping|recorder)\.(?!py\b)[a-z_]+(?:\.\w+)*)"
)
# In the text of a program that a test or a script starts; of ours the type checker reads them.
TAKEN = re.compile(rf"from ((?:{'|'.join(PACKAGES)})[\w.]*) import (\w+(?:, \w+)*)")
FILES = re.compile(rf"(?<![\w/.-])(?:{'|'.join(PACKAGES)})/[\w/]+\.(?:py|html|txt|css|js)\b")
PLACES = (*PACKAGES, "tests", "tools", "docs", "systemd", "README.md", "Makefile", "pyproject.toml")
# What others have written, or a program made.
SKIPPED = {"node_modules", "__pycache__", "vendor", "translations", "words", "data", "vectors"}
# Names that are wrong on purpose; the second holds its own list against what is there.
NOT_OURS = tuple(f"tests/project/test_{name}.py" for name in ("layers", "reading", "addresses"))


def texts() -> Iterator[tuple[str, str]]:
    """Every text of ours, by its name."""
    for place in (ROOT / name for name in PLACES):
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            name = path.relative_to(ROOT)
            if path.is_file() and name.as_posix() not in NOT_OURS and not SKIPPED & {*name.parts}:
                with suppress(UnicodeDecodeError):
                    yield name.as_posix(), path.read_text()


@cache
def defined_in(path: Path) -> frozenset[str]:
    """What stands in a module, and in its classes, under a name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and path.name == "__init__.py":
            # A package may give what its modules have; a module gives its own.
            found.update(one.name for one in node.names)
    return frozenset(found)


def is_there(dotted: str) -> bool:
    """True for a module of ours, or what stands in one."""
    here, parts = ROOT, dotted.split(".")
    while parts and (here / parts[0]).is_dir():
        here /= parts.pop(0)
    if parts and (here / f"{parts[0]}.py").is_file():
        return set(parts[1:]) <= defined_in(here / f"{parts[0]}.py")
    if not (here / "__init__.py").is_file():
        return False
    return set(parts) <= defined_in(here / "__init__.py") | {"__path__", "__file__"}


def wrong_in(text: str) -> list[str]:
    named = [
        f"{module}.{one}" for module, several in TAKEN.findall(text) for one in several.split(", ")
    ]
    found = [name for name in (*DOTTED.findall(text), *named) if not is_there(name)]
    found += [
        name
        for name in SHORT.findall(text)
        if not any(is_there(f"{package}.{name}") for package in PACKAGES)
    ]
    return found + [path for path in FILES.findall(text) if not (ROOT / path).exists()]


def test_every_name_is_imported_from_where_it_stands() -> None:
    """One name, one address: none is handed on by a module that only uses it."""
    loose = [
        f"{name}: {node.module}.{one.name}"
        for name, text in texts()
        if name.endswith(".py")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in PACKAGES
        for one in node.names
        if not is_there(f"{node.module}.{one.name}")
    ]
    assert not loose, "\n".join(loose)


def test_every_module_and_file_that_a_text_names_is_there() -> None:
    wrong = [f"{name}: {one}" for name, text in texts() for one in wrong_in(text)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "text",
    [
        '[sys.executable, "-m", "appliance.decoder"]',
        "find_spec('web_ui.virtual')",
        "see `appliance.protocol.permits.no_such_rule`",
        "what `casework.nothing` does",
        "python -c 'from appliance.vault.keys import Card; print(Card)'",
        "appliance/cli.py\n",
        "ExecStart=/opt/attune/bin/python -P -m firmware.nowhere",
    ],
)
def test_one_that_is_not_there_is_seen(text: str) -> None:
    assert wrong_in(text)


@pytest.mark.parametrize("name", ["scene-files", "base-files", "bench-files"])
def test_what_is_in_packages_of_its_own_is_there(name: str) -> None:
    listed = (ROOT / "systemd" / "debian" / name).read_text().splitlines()
    assert listed and not [path for path in listed if not (ROOT / path).exists()]
    made = re.findall(r"^part (attune-[a-z-]+) ([a-z]+-files)$", recipe(), re.MULTILINE)
    (package,) = (package for package, files in made if files == name)
    control = (ROOT / "systemd" / "debian" / f"{package}.control").read_text()
    assert f"Package: {package}\n" in control and "(= @VERSION@)" in control
    assert re.search(rf"^for name in .*\b{package}\b", recipe(), re.MULTILINE)


def recipe() -> str:
    return (ROOT / "tools" / "package").read_text()


def test_the_command_is_the_one_that_the_package_starts() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["attune"].partition(":")
    assert is_there(f"{module}.{function}")
    assert f"from {module} import {function}\n" in recipe()


def test_every_list_of_the_translators_names_files_that_are_there() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "tools" / "words.cfg")
    places = [name.partition(": ")[2] for name in settings.sections() if ": " in name]
    assert len(places) > 5
    assert not [place for place in places if not any(ROOT.glob(place.replace("**.", "**/*.")))]


def elsewhere() -> list[str]:
    """The modules that a kit which films families does not have."""
    lists = (ROOT / "systemd" / "debian").glob("*-files")
    paths = [path for found in lists for path in found.read_text().splitlines()]
    return [path.removesuffix(".py").replace("/", ".") for path in paths if "." not in path[:-3]]


def test_a_kit_without_scene_measures_and_service_loads_all_that_it_has() -> None:
    gone = elsewhere()
    assert {"appliance.base", "appliance.bench", "firmware.pins.virtual"} <= set(gone)
    early = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if any(f"{module}.".startswith(f"{one}.") for one in gone):
                continue
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ImportFrom):
                    names = [str(node.module), *(f"{node.module}.{a.name}" for a in node.names)]
                    early += [f"{module}: {name}" for name in names if name in gone]
    assert not early


@pytest.fixture(scope="module")
def real_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as they lie on a kit that films families, and folders of an earlier version."""
    root = tmp_path_factory.mktemp("kit")
    (root / "appliance" / "base").mkdir(parents=True)
    (root / "appliance" / "bench" / "__pycache__").mkdir(parents=True)
    gone = [ROOT / name.replace(".", "/") for name in elsewhere()]
    gone += [path.with_suffix(".py") for path in gone]
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if not any(path.is_relative_to(one) for one in gone):
                copy = root / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
    return root


@pytest.mark.parametrize(
    ("words", "install"),
    [
        (["base", "--help"], "attune-base"),
        (["bench"], "attune-bench"),
        (["demo"], "attune-kit-scene"),
        (["rehearse"], "attune-kit-scene"),
    ],
)
def test_a_command_of_a_package_that_is_not_here_says_which_one(
    real_kit: Path, words: list[str], install: str
) -> None:
    command = [sys.executable, "-c", "from appliance.commands.main import main; main()", *words]
    done = subprocess.run(command, cwd=real_kit, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"Install {install}" in done.stderr
    assert "Traceback" not in done.stderr
