"""One direction of imports: firmware -> appliance <- web_ui, and nothing into the programs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("firmware", "appliance", "web_ui")
# The only file that may speak to a real camera.
PICAMERA = "firmware.cameras.picamera"


def imports_in(source: str, module: str) -> Iterator[str]:
    """Every module that this source imports, at any depth; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            name = node.args[0]
            assert isinstance(name, ast.Constant | ast.Subscript), (
                f"{module} imports a name made at run time"
            )
            # Looked up in a table: then every word of the module counts, as one of them is meant.
            words = ast.walk(name if isinstance(name, ast.Constant) else ast.parse(source))
            yield from (
                word.value
                for word in words
                if isinstance(word, ast.Constant) and isinstance(word.value, str)
            )


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def why_not(module: str, imported: str) -> str | None:
    """The rule that this import breaks, or None."""
    package = module.split(".")[0]
    if package == "appliance" and (inside(imported, "firmware") or inside(imported, "web_ui")):
        return "what is shared knows neither the recorder nor the page"
    if package == "firmware" and inside(imported, "web_ui"):
        return "the recorder never meets the page but in files"
    if package == "web_ui" and inside(imported, "firmware"):
        return "the page never meets the recorder but in files"
    for program in ("appliance.sync", "appliance.base"):
        if inside(imported, program) and not inside(module, program):
            return f"{program} is a program of its own"
    if package != "appliance" and inside(imported, "appliance.stores"):
        return "only what runs apart from camera and page may speak to a store"
    if (inside(imported, "picamera2") or inside(imported, "libcamera")) and module != PICAMERA:
        return f"only {PICAMERA} speaks to the camera"
    return None


def sources() -> list[tuple[str, Path]]:
    return [
        (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def test_every_import_goes_in_the_one_direction() -> None:
    found = sources()
    assert {module.split(".")[0] for module, _ in found} == set(PACKAGES)
    broken = [
        f"{module} imports {imported}: {rule}"
        for module, path in found
        for imported in imports_in(path.read_text(), module)
        if (rule := why_not(module, imported))
    ]
    assert not broken, "\n".join(broken)


def reached_from(roots: set[str], among: dict[str, set[str]]) -> dict[str, str]:
    """Every module that these come to import, at any depth and at any time, and by way of which."""
    found = dict.fromkeys(roots, "")
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        for name in among.get(module, set()):
            # `from a import b` may mean the module a.b, or what stands in a.
            for one in (name, name.rpartition(".")[0]):
                if (one in among or one.split(".")[0] == "av") and one not in found:
                    found[one] = module
                    waiting.append(one)
    return found


def test_neither_the_page_nor_what_it_uses_can_decode_a_film() -> None:
    """A film from elsewhere, and what was made of it, may be hostile: the keys are in this process.

    So libav is in no process that comes to have one, whatever it imports and however late."""
    among = {module: set(imports_in(path.read_text(), module)) for module, path in sources()}
    page = {module for module in among if inside(module, "web_ui")}
    found = reached_from(page, among)
    assert "appliance.media.apart" in found and "appliance.casework.importing" in found
    assert {one: found[one] for one in found if inside(one, "av")} == {}
    # The rule can be broken: what is set apart does decode.
    assert "av" in reached_from({"appliance.media.decoder"}, among)
    late = {
        **among,
        "web_ui.pages.films": {*among["web_ui.pages.films"], "appliance.media.stills.still"},
    }
    assert "av" in reached_from(page, late)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("appliance.vault.cases", "import firmware.light"),
        ("appliance.vault.cases", "from web_ui.app import create_app"),
        ("firmware.runner", "from web_ui.session.access import sessions"),
        ("web_ui.pages.arming", "def late():\n    import firmware"),
        ("web_ui.pages.arming", "from appliance import sync"),
        ("appliance.vault.cases", "from appliance.base.orders import run"),
        ("appliance.sync.plan", "import appliance.base"),
        ("firmware.runner", "from appliance.stores import open_store"),
        ("web_ui.pages.arming", "from appliance import stores"),
        ("firmware.camera", "from picamera2 import Picamera2"),
        ("firmware.camera", "import libcamera"),
        ("firmware.camera", "importlib.import_module('picamera2')"),
        ("appliance.bench", "T = {'p': 'web_ui.player.ranges'}\nimport_module(T['p'])"),
    ],
)
def test_an_import_in_the_wrong_direction_is_seen(module: str, line: str) -> None:
    assert any(why_not(module, imported) for imported in imports_in(line, module))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("firmware.runner", "from appliance import permits"),
        ("web_ui.pages.arming", "from appliance.vault.cases import Case"),
        ("appliance.sync.__main__", "from appliance.sync.plan import plan"),
        ("appliance.sync.plan", "from appliance.stores import open_store"),
        (PICAMERA, "from picamera2 import Picamera2"),
    ],
)
def test_an_import_in_the_right_direction_is_not_blamed(module: str, line: str) -> None:
    assert not any(why_not(module, imported) for imported in imports_in(line, module))
