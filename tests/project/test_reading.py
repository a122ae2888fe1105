"""What another process wrote is read in one way, and whatever lies there holds nobody up.

A page that was taken over, though locked, could silence the sender for ever with one pipe, and have
it send what a link leads to. So every place where page, sender and recorder read is planted with
everything that is no file of ours, and each look must end and bring all the rest.
"""

import ast
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from appliance.age.sealing import VERSION_LINE
from appliance.errors import BadFile
from appliance.factory_reset import ResetRefusal, judge
from appliance.protocol.audits import with_audit
from appliance.protocol.orders import Reset
from appliance.records.files import (
    Below,
    Home,
    names_in,
    new_id,
    open_plain,
    plain_descriptor,
    read_plain,
    save,
    some_of,
)
from appliance.records.signing import sign_fact
from appliance.stores.folder import FolderStore
from appliance.stores.store import Measured
from appliance.sync.__main__ import last_change
from appliance.verifying import Folder, verify
from tests.support.homes import STARTED, SendingKit, an_audit, new_store, practitioner, service
from tests.support.pages import WebKit
from tests.support.places import PACKAGES, ROOT
from tests.support.strange import STRANGE
from web_ui.keeper import Keeper

SOME = "abcdefghijklmnop"
"""An id where any would do."""
SECONDS = 20.0
"""Far longer than any look takes here, and far shorter than for ever."""


def in_time(act: Callable[[], object]) -> None:
    """Raises what `act` raises; fails if it does not end."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive(), "it is held up"
    if raised:
        raise raised[0]


# --- One way to read ------------------------------------------------------------------------------

READS = {
    "FileIO",
    "fdopen",
    "glob",
    "iterdir",
    "listdir",
    "open",
    "read_bytes",
    "read_text",
    "rglob",
    "scandir",
    "walk",
}
ELSEWHERE = {
    "appliance/selftest/acceptance.py": "a finished kit on the bench, by whoever builds it",
    "appliance/selftest/measures.py of_the_card": "a file without a name that it makes",
    "appliance/selftest/measures.py _peak_of": "the kernel's",
    "appliance/bench/": "measures on files that they made themselves",
    "appliance/selftest/kit.py": "a kit on this computer, which it made itself",
    "appliance/selftest/faults.py": "a rehearsal, on a kit that it made itself",
    "appliance/selftest/rehearsal.py": "a rehearsal, on a kit that it made itself",
    "appliance/selftest/seen.py": "a film of a kit that whoever tries it made",
    "appliance/records/audit.py Log.append": "adds to one's own log",
    "appliance/base/": "the service's own folder of keys and its store, on its own machine",
    "appliance/media/av_sync.py worst": "a film in clear that was named on the command line",
    "appliance/commands/": "files that were named on the command line",
    "appliance/records/clock.py SystemClock.__init__": "the kernel's",
    "appliance/records/clock.py read_sources": "the kernel's",
    "appliance/config.py load_config": "root's settings",
    "appliance/media/cutting.py": "a codec, no file",
    "appliance/selftest/findings.py Machine": "the kernel's and root's",
    "appliance/selftest/doctor.py _certificate": "the store's certificate, root's",
    "appliance/selftest/doctor.py _written_per_second": "a file without a name that it makes",
    "appliance/media/footage.py opened": "libav, on a reader that was opened before",
    "appliance/age/keyfile.py load_identities": "a key that was named on the command line",
    "appliance/age/scrypt.py _free_memory": "the kernel's",
    "appliance/film/segment.py create": "a new file",
    "appliance/film/recording.py write_film": "a joined film, no file",
    "appliance/film/recording.py SegmentSource.rebuild": "opens through `open_plain`",
    "appliance/vault/keys.py change_passphrase": "a key that was named on the command line",
    "appliance/casework/repair.py _mended": "opens through `open_plain`",
    "appliance/vault/passphrases.py word_list": "a file of this software",
    "web_ui/wording/guide.py parts": "the guide of this software",
    "web_ui/wording/language.py check": "catalogues of this software",
    "appliance/factory_reset.py _below": "goes through one's own directories to empty them",
    "appliance/media/sandbox.py confine": "the kernel's",
    "appliance/casework/service_settings.py shipped": "files of this software",
    "web_ui/system/usb_sticks.py": "the kernel's list of sticks, and a stick by its descriptor",
    "appliance/stores/": "the store, held by its descriptor; root's credential",
    "appliance/sync/place.py": "the kernel's",
    "appliance/sync/sender.py _read_back": "the store's",
    "appliance/sync/emptied.py _read": "the store's",
    "appliance/media/transcoding.py": "libav, in a process that can open nothing",
    "appliance/media/remaking.py Remade.__init__": "a pipe of libav's, in the same process",
    "appliance/verifying.py": "goes through a folder; opens through `open_plain`, or the store",
    "appliance/board.py": "the kernel's",
    "firmware/cameras/picamera.py has_hardware_encoder": "the kernel's",
    "firmware/cameras/scene.py FilmScene._opened": "a film that stands in for the lens, root's",
    "firmware/microphone.py Microphone._device": "a microphone, no file",
    "firmware/muxer.py Muxer._open": "a film that is being made",
    "firmware/free_space.py FreeSpace.reserve": "a new file",
    "firmware/writer.py FilmWriter._tell": "adds to one's own manifest",
    "web_ui/__main__.py _end_children": "the kernel's",
    "web_ui/app.py assets": "files of this software",
    "web_ui/session/unlocked.py Practitioner.case": "a case, no file",
    "web_ui/pages/this_kit.py _label": "root's",
    "web_ui/pages/unlock.py _known_of": "root's",
}
"""Where something is opened or listed otherwise than by `appliance.records.files`, and what."""


def opened_in(tree: ast.AST, where: tuple[str, ...] = ()) -> Iterator[str]:
    """The function around each call that opens or lists something, by whichever name."""
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if isinstance(node, ast.Call):
            called = node.func
            if (isinstance(called, ast.Name) and called.id == "open") or (
                isinstance(called, ast.Attribute) and called.attr in READS
            ):
                yield ".".join(where)
        yield from opened_in(node, (*where, node.name) if named else where)


def places_in(root: Path) -> set[str]:
    return {
        f"{path.relative_to(root).as_posix()} {function}"
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
        if path != root / "appliance" / "records" / "files.py"
        for function in opened_in(ast.parse(path.read_text()))
    }


def test_nothing_of_a_home_is_opened_but_by_the_one_way_that_nobody_can_hold_up() -> None:
    found = places_in(ROOT)
    assert not [place for place in found if not place.startswith(tuple(ELSEWHERE))]
    # What is not needed any more goes, so that it excuses nothing that comes later.
    assert not [place for place in ELSEWHERE if not any(f.startswith(place) for f in found)]


@pytest.mark.parametrize(
    "line",
    [
        "home.kit.read_bytes()",
        "(d / 'manifest').read_text()",
        "open(path)",
        "with path.open('rb') as f: pass",
        "os.open(path, os.O_RDONLY)",
        "io.FileIO(path)",
        "sorted(home.cases.glob('*'))",
        "[p for p in d.iterdir()]",
        "os.scandir(d)",
    ],
)
def test_a_bare_read_that_comes_later_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "web_ui").mkdir()
    (tmp_path / "web_ui" / "new.py").write_text(f"def look():\n    {line}\n")
    assert places_in(tmp_path) == {"web_ui/new.py look"}


# --- What the one way does ------------------------------------------------------------------------

NO_FILE = [name for name in STRANGE if name.startswith("a") and not name.startswith("a list")]
NO_FILE = [n for n in NO_FILE if n not in ("a file of a terabyte", "another record")]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home", tmp_path / "run")
    home.prepare(home.kit, home.cases)
    save(home.kit / "signing.key", b"the recorder's secret")
    return home


@pytest.mark.parametrize("what", NO_FILE)
def test_what_is_no_plain_file_is_neither_waited_for_nor_followed(home: Home, what: str) -> None:
    path = home.cases / new_id()
    STRANGE[what](path)
    for way in (read_plain, open_plain, plain_descriptor, Measured):
        with pytest.raises(BadFile):
            in_time(lambda way=way: way(path))  # type: ignore[misc]


def test_an_endless_file_is_read_no_further_than_a_record_is_long(home: Home) -> None:
    path = home.cases / new_id()
    STRANGE["a file of a terabyte"](path)
    with pytest.raises(BadFile):
        in_time(lambda: read_plain(path))


def test_a_link_in_place_of_a_directory_on_the_way_leads_nowhere(home: Home) -> None:
    elsewhere = home.root.parent / "elsewhere"
    (elsewhere / "documents").mkdir(parents=True)
    save(elsewhere / "documents" / "x.age", VERSION_LINE)
    case = home.case(new_id())
    case.symlink_to(elsewhere)
    for path in (case / "documents" / "x.age", case / "documents"):
        with pytest.raises(BadFile):
            read_plain(path)
    with pytest.raises(BadFile):
        names_in(case / "documents")
    assert some_of(case / "documents", 5) == []


def test_a_home_may_itself_lie_behind_a_link(home: Home) -> None:
    behind = home.root.parent / "behind"
    behind.symlink_to(home.root)
    assert read_plain(Home(behind, home.run).kit / "signing.key") == b"the recorder's secret"


def test_what_is_replaced_while_it_is_read_is_read_as_it_was(home: Home) -> None:
    path = home.kit / "status.json"
    ended = threading.Event()

    def replace() -> None:
        while not ended.is_set():
            save(path, b"whole")

    save(path, b"whole")
    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(500):
            assert read_plain(path) == b"whole"
    finally:
        ended.set()
        writer.join()


def test_a_directory_with_names_without_end_is_refused_and_not_gone_through(home: Home) -> None:
    crowded = home.cases / new_id()
    crowded.mkdir()
    for number in range(12):
        (crowded / str(number)).touch()
    with pytest.raises(BadFile):
        names_in(crowded, 11)
    assert len(names_in(crowded, 12)) == 12
    assert len(some_of(crowded, 5)) == 5
    assert names_in(home.cases / new_id()) == []


# --- Whatever lies where the sender looks ---------------------------------------------------------


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    new_store(tmp_path / "service")
    return SendingKit(tmp_path, tmp_path / "service")


def sent_places(kit: SendingKit, case: str) -> dict[str, Path]:
    """Every place of a home from which the sender takes something, or reads in order to know."""
    home, directory = kit.home, kit.home.case(case)
    found = {
        "recordings": home.recording(new_id()),
        "manifest": home.recording(new_id()) / "manifest",
        "cases": home.case(new_id()),
        "kit/heads": home.kit / "heads" / "000001",
        "kit/emptied": home.emptied / new_id(),
        "at base": home.status("web").with_name("at-base.json"),
        "permit": home.permits / "current",
        "inbox": home.inbox / "order-000001",
    }
    for file in (
        "identity-0009.age",
        "documents/note-0001.age",
        "clips/x.mp4.age",
        f"shares/{new_id()}/1.mp4.age",
        f"shares/{new_id()}",
        f"ends/{new_id()}",
        f"withdrawn/{new_id()}",
        f"derived/{new_id()}/0000.mended",
        f"derived/{new_id()}",
        f"imports/{new_id()}/manifest",
        f"imports/{new_id()}",
        "hold",
    ):
        found[file.partition("/")[0] + file[-8:] if "/" in file else file] = directory / file
    return found


@pytest.mark.parametrize("what", STRANGE)
def test_whatever_lies_where_the_sender_looks_all_else_is_sent(kit: SendingKit, what: str) -> None:
    case, other = kit.case(), kit.case()
    film = kit.film(other.id)
    for path in sent_places(kit, case.id).values():
        path.parent.mkdir(parents=True, exist_ok=True)
        STRANGE[what](path)
    withdrawn, closed = kit.case(), kit.case()
    STRANGE[what](withdrawn.directory / "withdrawal")
    (closed.directory / "case.json").unlink()
    STRANGE[what](closed.directory / "case.json")
    in_time(lambda: last_change(kit.home))
    in_time(kit.sync)
    there = {path.relative_to(kit.store).as_posix() for path in kit.store.rglob("*.*")}
    for family in (case, other):
        assert f"cases/{family.id}/identity-0001.age" in there
    assert f"cases/{other.id}/recordings/{film}/0001.mp4.age" in there
    # In doubt nothing more of it goes; and what lay there went nowhere.
    assert not [name for name in there if withdrawn.id in name]
    secret = kit.signer.secret_text().encode()
    for path in (path for path in kit.store.rglob("*") if path.is_file()):
        data = path.read_bytes()
        assert secret not in data and len(data) < 1 << 20
        if path.suffix == ".age":
            assert data.startswith(VERSION_LINE)
    # Nobody may set the kit back while some of it was not sent, or cannot be told.
    order = sign_fact(service().signer, Reset(kit=kit.id, number=1, at=STARTED))
    note = with_audit(order, sign_fact(service().signer, an_audit()))
    answers: list[object] = []
    in_time(lambda: answers.append(judge(note, kit.id, service().chain, kit.home, STARTED)))
    assert answers == [ResetRefusal.NOT_SENT]


@pytest.mark.parametrize("folder", ["documents", "clips", "shares", "derived", "imports", "ends"])
def test_a_link_in_place_of_a_cases_folder_has_nothing_sent_from_elsewhere(
    kit: SendingKit, folder: str
) -> None:
    case, other = kit.case(), kit.case()
    elsewhere = kit.root / "elsewhere" / new_id()
    elsewhere.mkdir(parents=True)
    save(elsewhere.parent / "x.age", VERSION_LINE + b"another's")
    save(elsewhere / "1.age", VERSION_LINE + b"another's")
    directory = case.directory / folder
    if directory.exists():
        directory.rename(kit.root / "aside")
    directory.symlink_to(elsewhere.parent)
    in_time(kit.sync)
    assert not [p for p in kit.store.rglob("*.age") if b"another's" in p.read_bytes()]
    assert (kit.store / "cases" / other.id / "identity-0001.age").exists()
    assert any(problem.object.endswith(folder) for problem in kit.shown[-1].problems)


def test_a_film_in_clear_under_a_sealed_name_goes_nowhere_and_the_page_says_so(
    kit: SendingKit,
) -> None:
    case = kit.case()
    save(case.clips / "film.mp4.age", b"\0\0\0\x18ftypisom a film in clear" * 100)
    credential = kit.root / "credential"
    save(credential, VERSION_LINE + b"the way into the store")
    (case.clips / "link.mp4.age").symlink_to(credential)
    in_time(kit.sync)
    there = {path.name for path in kit.store.rglob("*")}
    assert not there & {"film.mp4.age", "link.mp4.age"}
    named = {problem.object.rpartition("/")[2] for problem in kit.shown[-1].problems}
    assert named == {"film.mp4.age", "link.mp4.age"}


@pytest.mark.parametrize(
    "file",
    [
        f"imports/{SOME}/manifest",
        f"derived/{SOME}/0000.mended",
        f"ends/{SOME}",
        f"withdrawn/{SOME}",
        "withdrawal",
    ],
)
def test_what_goes_in_clear_is_the_record_that_its_name_says_and_nothing_besides(
    kit: SendingKit, file: str
) -> None:
    case = kit.case()
    path = case.directory / file
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, practitioner().signer.sign("Jo's mother was in tears today\n").encode())
    in_time(kit.sync)
    for sent in (path for path in kit.store.rglob("*") if path.is_file()):
        assert b"tears" not in sent.read_bytes()


def test_what_changes_its_place_after_it_was_looked_at_is_not_sent(kit: SendingKit) -> None:
    """What was measured, what was asked and what is sent are one open file."""
    case = kit.case()
    path = case.clips / "x.mp4.age"
    save(path, VERSION_LINE + b"sealed")
    with Measured(path, VERSION_LINE) as source:
        path.unlink()
        save(path, b"in clear")
        assert source.read() == VERSION_LINE + b"sealed"


# --- Whoever looks over a home --------------------------------------------------------------------


@pytest.mark.parametrize("what", STRANGE)
def test_whatever_lies_in_a_home_it_can_be_verified_to_the_end(kit: SendingKit, what: str) -> None:
    case = kit.case()
    film = kit.film(case.id)
    for file in ("0000.mp4.age", "0001.index.age"):
        (kit.home.recording(film) / file).unlink()
        STRANGE[what](kit.home.recording(film) / file)
    whole = kit.film(case.id)
    (kit.home.log("web")).mkdir(parents=True)
    STRANGE[what](kit.home.log("web") / "aside")
    said = []
    in_time(lambda: said.append(verify(Folder(kit.home.root), [kit.signer.verifier])))
    found = {finding.what: finding.state for finding in said[0].findings}
    assert found[f"film {film}"] == "broken"
    assert found[f"film {whole}"] == "holds"


def test_an_endless_key_file_at_the_service_does_not_end_its_program(kit: SendingKit) -> None:
    name = f"cases/{new_id()}/identity-0001.age"
    (kit.store / name).parent.mkdir(parents=True)
    STRANGE["a file of a terabyte"](kit.store / name)
    with closing(FolderStore(kit.store)) as store:
        in_time(lambda: store.purge(name))
    assert not (kit.store / name).exists()


# --- Whatever lies where the page looks -----------------------------------------------------------

OF_OTHERS = {
    "kit_card": "",
    "signing_key": "",
    "books": "",
    "clock_mark": "",
    "clock_kept": "",
    "roster": "",
    "roster_there": "",
    "heads": "000001",
    "outbox": "000001.age",
    "removed": new_id(),
    "emptied": new_id(),
    "reset": "",
    "former": "",
    "recordings": new_id(),
    "receipts": f"orders/{new_id()}.json",
    "inbox": new_id(),
    "sync_requests": f"{new_id()}.json",
    "preview": "",
    "close_look": "",
    "virtual_button": "",
}
"""The places of a home that another process than the page writes, and what is planted there."""
OWN = {"keys", "cases", "permits", "permit", "web_requests", "at_base", "stick_asked"}
ELSEWHERE_PLANTED = {"kit", "enrolled"}
"""The folder of the places above, and who may be unlocked: that has a test of its own below."""


def test_every_place_of_a_home_is_known_to_these_tests() -> None:
    """A place that comes later is planted as well, or is the page's own."""
    places = {name for name, what in vars(Home).items() if isinstance(what, (property, Below))}
    assert places == set(OF_OTHERS) | OWN | ELSEWHERE_PLANTED


def plant(kit: WebKit, film: str, what: str) -> list[Path]:
    home = kit.home
    places = [getattr(home, place) / file for place, file in OF_OTHERS.items()]
    places += [
        home.recording(new_id()) / "manifest",
        home.recording(film) / "manifest",
        home.recording(film) / "0000.mp4.age",
        home.recording(film) / "0000.index.age",
        home.inbox / "order-000001",
        home.inbox / "key-000001",
        home.log("sync") / "log",
        home.log("recorder") / "log",
        home.status("sync"),
        home.status("recorder"),
    ]
    for path in places:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            path.unlink()
        STRANGE[what](path)
    return places


def comes(kit: WebKit, path: str) -> None:
    assert kit.browser.get(path).status < 500, path


@pytest.mark.parametrize("what", STRANGE)
def test_whatever_lies_where_the_page_looks_every_page_comes(tmp_path: Path, what: str) -> None:
    with WebKit(tmp_path) as kit:
        kit.unlock()
        case = kit.make_case()
        film = kit.recorder.write_film(case, kit.recipient(case))
        plant(kit, film, what)
        keeper = Keeper(kit.parts)
        in_time(keeper.look)
        assert kit.parts.session.unlocked
        for rule in kit.app.url_map.iter_rules():
            filled = {"case": case, "film": film, "recording": film}
            if "GET" not in (rule.methods or ()) or set(rule.arguments) - set(filled):
                continue
            if rule.endpoint == "status.follow":
                continue  # It never ends, by intention.
            path = rule.rule
            for name, value in filled.items():
                path = re.sub(rf"<[^>]*{name}>", value, path)
            in_time(partial(comes, kit, path))


# --- A card that gives errors, and the page's keeper ----------------------------------------------


def test_whatever_fails_ends_neither_the_page_nor_who_is_unlocked_and_all_else_is_done(
    tmp_path: Path,
) -> None:
    with WebKit(tmp_path) as kit:
        kit.unlock()
        keeper = Keeper(kit.parts)
        stale = kit.home.web_requests / f"{new_id()}.json"
        stale.touch()
        inbox, enrolled = kit.home.inbox, kit.home.kit / "enrolled.json"
        inbox.rename(tmp_path / "aside")
        inbox.symlink_to(inbox)
        kept = enrolled.read_bytes()
        enrolled.unlink()
        enrolled.mkdir()  # What says who may be unlocked cannot be read.
        keeper.look()
        keeper.look()
        assert kit.parts.session.unlocked
        assert not stale.exists()
        log = (kit.home.log("web") / "log").read_text()
        assert log.count('"page-task-waits"') == 1
        # Tried again; and then nobody is told of it any more.
        enrolled.rmdir()
        save(enrolled, kept)
        assert "Something the kit does by itself" in kit.browser.get("/cases").words
        keeper.look()
        assert "Something the kit does by itself" not in kit.browser.get("/cases").words
