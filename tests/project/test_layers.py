"""The rooms of the house, what each may import, and the wall between who films and who opens."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.protocol.orders import FilmWithdrawal
from appliance.protocol.requests import Remove
from appliance.records.files import new_id, to_json
from tests.support.fakes import PRACTITIONER
from tests.support.homes import CLOCK, SendingKit, new_store
from tests.support.places import PACKAGES, ROOT
from tests.support.recorders import Process, preview

ROOMS = {
    # What every process uses.
    "appliance.errors": "",
    "appliance.notify": "",
    "appliance.memory": "",
    "appliance.board": "",
    "appliance.records": "errors",
    "appliance.config": "errors records",
    "appliance.viewer": "errors records",
    "appliance.program": "errors config",
    "appliance.age": "errors records",
    "appliance.stores": "errors records",
    "appliance.film": "errors records age",
    "appliance.protocol": "errors records age film",
    "appliance.factory_reset": "errors records film protocol",
    "appliance.media": "errors records film",
    # What comes near a family's key.
    "appliance.vault": "errors records age protocol",
    "appliance.casework": "errors records age film protocol media vault",
    # Programs of their own: nothing imports one.
    "firmware": "errors notify board records config program age film protocol factory_reset media",
    "appliance.sync": "errors notify memory records config program age stores film protocol "
    "factory_reset",
    "appliance.base": "errors records age stores film protocol vault",
    # For whoever is at the command line.
    "appliance.verifying": "errors records stores film protocol",
    "appliance.selftest": "errors board records config age stores film protocol media vault",
    "appliance.bench": "errors records config age stores film protocol media vault casework "
    "selftest",
    "appliance.commands": "errors records config age stores film protocol media vault verifying "
    "selftest bench viewer",
    "appliance.__main__": "commands",
    # The page.
    "web_ui.wording": "errors records protocol",
    "web_ui.system": "errors records web_ui.wording",
    "web_ui.player": "errors memory records age film protocol media vault casework",
    "web_ui.recorder": "errors records protocol vault",
    "web_ui.session": "errors memory records config viewer age film protocol media vault casework "
    "web_ui.wording web_ui.system web_ui.player web_ui.recorder",
    "web_ui.housekeeping": "errors protocol vault casework web_ui.session",
    "web_ui.keeper": "errors records protocol web_ui.session web_ui.housekeeping",
    "web_ui.errors": "errors web_ui.wording web_ui.session",
    "web_ui.forms": "errors web_ui.wording",
    "web_ui.consent_form": "errors records protocol casework web_ui.wording web_ui.forms",
    "web_ui.answers": "errors web_ui.wording web_ui.session",
    "web_ui.pages": "errors records viewer age film protocol factory_reset vault casework "
    "web_ui.wording web_ui.system web_ui.player web_ui.session web_ui.housekeeping web_ui.errors "
    "web_ui.forms web_ui.consent_form web_ui.answers",
    "web_ui.app": "records config vault casework web_ui.wording web_ui.system web_ui.session "
    "web_ui.recorder web_ui.errors web_ui.forms web_ui.pages",
    "web_ui.__main__": "errors memory records config program factory_reset web_ui.wording "
    "web_ui.system web_ui.keeper web_ui.app",
}
"""Room -> the rooms it may import, all of them above it; those of `appliance` by one name."""
MAY_IMPORT = {
    room: frozenset(one if one.startswith("web_ui") else f"appliance.{one}" for one in may.split())
    for room, may in ROOMS.items()
}
# They are built of the session and handed to all of it.
AT_HOME_IN = {"web_ui.parts": "web_ui.session"}

BEHIND_THE_WALL = (
    "appliance.vault",
    "appliance.casework",
    "appliance.age.unsealing",
    "appliance.age.identities",
    "appliance.film.joined",
    "appliance.film.recording",
)
"""What opens, or has what opens: neither the recorder nor the sender ever loads it."""
DECODE = ("appliance.media", "firmware", "appliance.selftest", "appliance.bench")
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


def inside(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def room_of(name: str) -> str | None:
    """The room in which this lies; None for what lies in none."""
    found = {room for room in ROOMS if inside(name, room)}
    found |= {room for module, room in AT_HOME_IN.items() if inside(name, module)}
    assert len(found) < 2, f"{name} lies in {found}"
    return found.pop() if found else None


def why_not(module: str, imported: str) -> str | None:
    """The rule that this import breaks, or None."""
    if inside(imported, "picamera2", "libcamera") and module != PICAMERA:
        return f"only {PICAMERA} speaks to the camera"
    if inside(imported, "av") and not inside(module, *DECODE):
        return f"films are decoded in {', '.join(DECODE)} alone"
    if not inside(imported, *PACKAGES) or imported in ("appliance", "web_ui"):
        return None
    room, wanted = room_of(module), room_of(imported)
    if room is None:
        return f"{module} lies in no room"
    if wanted is None:
        return f"{imported} lies in no room"
    if room == wanted == "web_ui.pages" and not inside(imported, module):
        return "no page imports another"
    if room != wanted and wanted not in MAY_IMPORT[room]:
        return f"{room} may not import {wanted}"
    return None


def sources() -> list[tuple[str, Path]]:
    return [
        (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def imports() -> dict[str, set[str]]:
    """Every module of ours, and what it imports, at any time."""
    return {module: set(imports_in(path.read_text(), module)) for module, path in sources()}


def test_every_module_lies_in_one_room() -> None:
    found = [module for module, _ in sources()]
    assert {module.split(".")[0] for module in found} == set(PACKAGES)
    assert [module for module in found if room_of(module) is None] == ["appliance", "web_ui"]
    among = imports()
    assert not among["appliance"] and not among["web_ui"]


def test_every_import_is_one_that_its_room_may_have() -> None:
    broken = [
        f"{module} imports {imported}: {rule}"
        for module, names in imports().items()
        for imported in sorted(names)
        if (rule := why_not(module, imported))
    ]
    assert not broken, "\n".join(broken)


def test_the_rooms_stand_on_each_other_and_no_leave_is_given_that_nobody_needs() -> None:
    names = list(ROOMS)
    for room, may in MAY_IMPORT.items():
        assert may <= set(names[: names.index(room)]), f"{room} stands on what is above it"
    used = {
        (room_of(module), room_of(imported))
        for module, names in imports().items()
        for imported in names
    }
    unused = [f"{r} -> {o}" for r, may in MAY_IMPORT.items() for o in may if (r, o) not in used]
    assert not unused


def reached_from(roots: set[str], among: dict[str, set[str]]) -> dict[str, str]:
    """Every module that these come to import, at any depth and at any time, and by way of which."""
    found = dict.fromkeys(roots, "")
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        for name in among.get(module, set()):
            # `from a import b` may mean the module a.b, or what stands in a; and a package's own
            # file is carried out with each of its modules.
            parts = name.split(".")
            for one in (".".join(parts[:count]) for count in range(1, len(parts) + 1)):
                if (one in among or one == "av") and one not in found:
                    found[one] = module
                    waiting.append(one)
    return found


def program(name: str, among: dict[str, set[str]]) -> set[str]:
    return {module for module in among if inside(module, name)}


@pytest.mark.parametrize("name", ["firmware", "appliance.sync"])
def test_neither_the_recorder_nor_the_sender_reaches_anything_that_opens(name: str) -> None:
    """Whoever takes one of them over finds no code in it that could open a film, and no key."""
    among = imports()
    found = reached_from(program(name, among), among)
    assert "appliance.protocol.case_record" in found and "appliance.age.sealing" in found
    assert {one: found[one] for one in found if inside(one, *BEHIND_THE_WALL)} == {}
    # Each of them is there, and the rule can be broken: from far away, and late.
    assert all(any(inside(module, one) for module in among) for one in BEHIND_THE_WALL)
    for behind in BEHIND_THE_WALL:
        late = {*imports_in(f"def late():\n    from {behind} import it", "")}
        far = {**among, "appliance.age.bech32": among["appliance.age.bech32"] | late}
        reached = reached_from(program(name, far), far)
        assert any(inside(one, behind) for one in reached), behind


def test_neither_the_page_nor_what_it_uses_can_decode_a_film() -> None:
    """A film from elsewhere, and what was made of it, may be hostile: the keys are in this process.

    So libav is in no process that comes to have one, whatever it imports and however late."""
    among = imports()
    page = program("web_ui", among)
    found = reached_from(page, among)
    assert "appliance.media.apart" in found and "appliance.casework.importing" in found
    assert {one: found[one] for one in found if inside(one, "av")} == {}
    # The rule can be broken: what is set apart does decode.
    assert "av" in reached_from({"appliance.media.decoder"}, among)
    late = {**among}
    late["web_ui.pages.films"] = {*among["web_ui.pages.films"], "appliance.media.stills.still"}
    assert "av" in reached_from(page, late)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("appliance.vault.cases", "import firmware.light"),
        ("appliance.vault.cases", "from web_ui.app import create_app"),
        ("appliance.vault.cases", "from appliance.casework.clips import Clip"),
        ("appliance.vault.cases", "from appliance import casework"),
        ("appliance.protocol.permits", "from appliance.vault.keys import PrivateKeys"),
        ("appliance.film.manifest", "from appliance.protocol.cards import Card"),
        ("appliance.records.files", "from appliance.age.sealing import seal"),
        ("appliance.casework.clips", "from appliance.nowhere import anything"),
        ("appliance.new", "from appliance.errors import BadFile"),
        ("appliance.vault.cases", "from appliance.base.orders import run"),
        ("appliance.sync.plan", "import appliance.base"),
        ("appliance.sync.sender", "from appliance.vault.cases import Cases"),
        ("firmware.runner", "from web_ui.session.access import sessions"),
        ("firmware.runner", "from appliance.stores import open_store"),
        ("firmware.books", "from appliance.vault.keys import PrivateKeys"),
        ("firmware.camera", "from picamera2 import Picamera2"),
        ("firmware.camera", "import libcamera"),
        ("firmware.camera", "importlib.import_module('picamera2')"),
        ("web_ui.pages.arming", "def late():\n    import firmware"),
        ("web_ui.pages.arming", "from appliance import sync"),
        ("web_ui.pages.arming", "from appliance import stores"),
        ("web_ui.pages.arming", "from web_ui.pages.cases import SHOWN"),
        ("web_ui.pages.arming", "from web_ui.pages import cases"),
        ("web_ui.recorder", "from web_ui.parts import Parts"),
        ("web_ui.pages.films", "import av"),
        ("appliance.casework.clips", "def late():\n    from av.video.frame import VideoFrame"),
        ("appliance.film.index", "import av.container"),
        ("appliance.bench", "T = {'p': 'web_ui.player.ranges'}\nimport_module(T['p'])"),
    ],
)
def test_an_import_in_the_wrong_direction_is_seen(module: str, line: str) -> None:
    assert any(why_not(module, imported) for imported in imports_in(line, module))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("firmware.runner", "from appliance.protocol import permits"),
        ("web_ui.pages.arming", "from appliance.vault.cases import OpenCase"),
        ("web_ui.session.access", "from web_ui.parts import Parts"),
        ("appliance.sync.__main__", "from appliance.sync.plan import plan"),
        ("appliance.sync.plan", "from appliance.stores import open_store"),
        ("appliance.media.stills", "from av.video.frame import VideoFrame"),
        (PICAMERA, "from picamera2 import Picamera2"),
    ],
)
def test_an_import_in_the_right_direction_is_not_blamed(module: str, line: str) -> None:
    assert not any(why_not(module, imported) for imported in imports_in(line, module))


def test_no_folder_has_more_modules_than_somebody_looks_through() -> None:
    folders: dict[str, int] = {}
    for _, path in sources():
        folder = path.parent.relative_to(ROOT).as_posix()
        folders[folder] = folders.get(folder, 0) + (path.name != "__init__.py")
    most = {"web_ui/pages": 32}
    assert not {folder: many for folder, many in folders.items() if many > most.get(folder, 20)}


def test_no_function_is_longer_than_a_screen() -> None:
    lines = {
        (module, node.name): (node.end_lineno or 0) - node.lineno + 1
        for module, path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: many for name, many in lines.items() if many > 60}


def chain_from(module: str, sources: dict[str, str]) -> list[str]:
    """The longest way down from a module, by what is imported as soon as it is."""
    known: dict[str, list[str]] = {}

    def at_once(node: ast.AST) -> Iterator[ast.AST]:
        for one in ast.iter_child_nodes(node):
            for_types_alone = isinstance(one, ast.If) and "TYPE_CHECKING" in ast.unparse(one.test)
            if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and not for_types_alone:
                yield one
                yield from at_once(one)

    def longest(one: str) -> list[str]:
        if one not in known:
            text = "\n".join(
                ast.unparse(node)
                for node in at_once(ast.parse(sources[one]))
                if isinstance(node, ast.Import | ast.ImportFrom)
            )
            names = {
                name if name in sources else name.rpartition(".")[0]
                for name in imports_in(text, one)
            }
            ways = [longest(name) for name in names & sources.keys() - {one}]
            known[one] = [one, *max(ways, key=len, default=[])]
        return known[one]

    return longest(module)


@pytest.mark.parametrize(
    ("name", "most"),
    [("firmware.__main__", 12), ("appliance.sync.__main__", 12), ("web_ui.__main__", 14)],
)
def test_nobody_has_to_go_down_many_floors_to_understand_a_program(name: str, most: int) -> None:
    way = chain_from(name, {module: path.read_text() for module, path in sources()})
    assert way[-1] == "appliance.errors", "the longest way ends on the ground"
    assert len(way) <= most, " > ".join(way)


# --- What the running processes have loaded -------------------------------------------------------

TOLD_AT_THE_END = """
import atexit, os, sys
def tell():
    with open(os.path.join(os.environ["LOADED"], str(os.getpid())), "w") as file:
        file.write("\\n".join(sorted(sys.modules)))
atexit.register(tell)
"""
"""As a `sitecustomize`, in a process that is otherwise started as on a kit."""


@pytest.fixture
def telling(tmp_path: Path) -> dict[str, str]:
    """The environment in which a process that ends says what it had loaded."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(TOLD_AT_THE_END)
    (tmp_path / "loaded").mkdir()
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    return {"PYTHONPATH": path.rstrip(os.pathsep), "LOADED": str(tmp_path / "loaded")}


def loaded(environment: dict[str, str], pid: int) -> set[str]:
    return set(Path(environment["LOADED"], str(pid)).read_text().split("\n"))


@pytest.mark.slow
def test_a_recorder_that_filmed_framed_and_removed_has_loaded_nothing_that_opens(
    tmp_path: Path, telling: dict[str, str]
) -> None:
    with closing(Process(tmp_path)) as recorder:
        process = recorder.start(**telling)
        recorder.set_up_and_arm()
        status = recorder.shows(lambda s: s.state == "ready")
        recorder.ask(preview(recorder, open_it=True))
        recorder.shows(lambda s: s.state == "preview")
        recorder.film(1)
        recorder.press()
        status = recorder.shows(lambda s: s.ended == "button" and s.state == "ready")
        order = FilmWithdrawal(
            id=new_id(),
            case=recorder.case,
            kit=status.kit,
            film=status.recording,
            clips=(),
            at=CLOCK.read().wall,
        )
        note = PRACTITIONER.signer.sign(f"{to_json(order).decode()}\n")
        now = CLOCK.read()
        remove = Remove(id=new_id(), boot=now.boot, boottime=now.boottime, note=note)
        recorder.ask(remove)
        recorder.shows(lambda s: s.answers.get(remove.id) == "done")
        assert not recorder.home.recording(status.recording).exists()
        process.terminate()
        assert process.wait(20) == 0
    found = loaded(telling, process.pid)
    assert {"firmware.writer", "firmware.cameras.scene", "appliance.age.sealing"} <= found
    assert not sorted(name for name in found if inside(name, *BEHIND_THE_WALL))


@pytest.mark.slow
def test_a_sender_that_sent_a_case_and_its_films_has_loaded_nothing_that_opens(
    tmp_path: Path, telling: dict[str, str]
) -> None:
    new_store(tmp_path / "service")
    kit = SendingKit(tmp_path / "kit", tmp_path / "service")
    kit.film(kit.case().id)
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance.sync", "--config", str(kit.settings), "--once"],
        env={**os.environ, **telling},
        stdout=subprocess.DEVNULL,
    )
    assert process.wait(60) == 0
    assert list((tmp_path / "service" / "cases").rglob("*.mp4.age"))
    found = loaded(telling, process.pid)
    assert {"appliance.sync.sender", "appliance.stores.folder", "appliance.protocol"} <= found
    assert not sorted(name for name in found if inside(name, *BEHIND_THE_WALL, "av"))
