"""Whatever people write: it is read back as they wrote it, or it was refused in words.

A line separator that was pasted into a form once made a family's documents unreadable, and their
withdrawal impossible with them: records were divided where no line of ours ends.
"""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import appliance
import firmware
import web_ui
from appliance.age.identities import identity_lines
from appliance.config import Config, load_config, write_config
from appliance.errors import BadInput
from appliance.film.manifest import Tail
from appliance.records.audit import Log, check_chain, holds, links
from appliance.records.files import Fact, Home, from_json, new_id, to_json
from appliance.records.signing import Signer, open_note
from appliance.vault.cases import Cases, Details, Goal, Goals, OpenCase
from appliance.vault.keys import PrivateKeys
from tests.support.homes import CLOCK, practitioner, service
from tests.support.places import PACKAGES, ROOT
from tests.support.texts import LETTERS, LONG, facts, kinds, texts

# The recorder's own tests load what needs its hardware.
_NOT_HERE = ("firmware.cameras.picamera", "appliance.bench")

for package in (appliance, firmware, web_ui):
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.startswith(_NOT_HERE) and not found.name.endswith("__main__"):
            importlib.import_module(found.name)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> OpenCase:
    root = tmp_path_factory.mktemp("kit")
    home = Home(root / "home", root / "run")
    home.prepare(home.cases)
    verifiers = [practitioner().signer.verifier]
    details = Details(label="The family", check_word="lantern")
    return Cases(home).create(details, practitioner(), service().chain, verifiers)


def test_there_are_records_of_every_room() -> None:
    rooms = {kind.__module__ for kind in kinds()}
    assert {
        "appliance.casework.consent",
        "appliance.casework.copies",
        "appliance.casework.shares",
    } <= rooms
    assert len(kinds()) > 60


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_a_document_is_read_back_with_every_letter_that_was_written(
    case: OpenCase, kind: type[Fact]
) -> None:
    tag = str(kind.__struct_config__.tag).partition("/")[0]

    # A failure says itself what was written; to shrink it would take minutes.
    @settings(
        max_examples=4,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(facts(kind, texts()))
    def written(fact: Fact) -> None:
        assert from_json(to_json(fact), kind) == fact and b"\n" not in to_json(fact)
        if tag.isalpha():  # Every document of a case has a name of one word.
            item = new_id()
            digest = case.write(fact, item)
            assert case.read_with_digest(kind, item) == (fact, digest)

    written()


@pytest.mark.parametrize("letter", [*LETTERS, LONG], ids=lambda text: ascii(text)[:12])
def test_no_letter_in_a_goal_makes_a_case_unreadable(case: OpenCase, letter: str) -> None:
    said = Goals(goals=(Goal(id=new_id(), text=f"before{letter}after"),))
    case.write(said)
    assert case.read(Goals) == said


@given(texts(lone=True))
def test_a_record_keeps_a_text_or_refuses_it_in_words(text: str) -> None:
    fact = Details(label=text, check_word="lantern")
    try:
        data = to_json(fact)
    except BadInput as error:
        assert any("\ud800" <= letter <= "\udfff" for letter in text) and error.hint
    else:
        assert from_json(data, Details) == fact


@given(texts())
def test_a_signed_note_gives_back_the_record_that_was_signed(text: str) -> None:
    signer = Signer.generate("kit-aaaaaaaaaaaaaaaa")
    fact = Details(label=text, check_word=text)
    signed = signer.sign(f"{to_json(fact).decode()}\n")
    assert from_json(open_note(signed, [signer.verifier])[0], Details) == fact


@settings(max_examples=20)
@given(st.lists(texts(), min_size=1, max_size=3))
def test_a_log_has_as_many_lines_as_things_happened(
    tmp_path_factory: pytest.TempPathFactory, said: list[str]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    log = Log(directory, CLOCK)
    for text in said:
        log.write("refused", code=text)
    found = [link.entry.ids["code"] for link in links(directory / "log")]
    assert found == said
    assert [e.ids["code"] for e in check_chain((directory / "log").read_bytes())] == said


def test_everybody_who_reads_a_log_divides_it_alike(tmp_path: Path) -> None:
    """Whoever may write the file must not get one log past the kit and another past a checker."""
    log = Log(tmp_path, CLOCK)
    log.write("refused", code="a")
    log.write("refused", code="b")
    whole = (tmp_path / "log").read_bytes()
    for altered in (whole.replace(b"\n", b"\r\n", 1), whole.replace(b"\n", b"\r", 1)):
        (tmp_path / "log").write_bytes(altered)
        seen = []
        with pytest.raises(BadInput):
            seen += list(links(tmp_path / "log"))
        with pytest.raises(BadInput):
            check_chain(altered)
    first = next(iter(check_chain(whole.partition(b"\n")[0] + b"\n")))
    assert first.number == 1
    (tmp_path / "log").write_bytes(whole)
    for link in links(tmp_path / "log"):
        assert holds(whole, link.head) and not holds(whole.replace(b"\n", b"\r"), link.head)


@pytest.mark.parametrize("letter", ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_a_key_file_has_its_lines_where_every_other_program_sees_them(letter: str) -> None:
    keys = PrivateKeys.generate("practitioner", x25519=True)
    said = f"# a remark{letter}signing-key: no line of its own\n"
    assert identity_lines(f"{said}{keys.identity.secret_text()}\n") == [keys.identity.secret_text()]
    assert PrivateKeys.parse(said + keys.text()).card() == keys.card()


@pytest.mark.parametrize("letter", [*LETTERS, LONG], ids=lambda text: ascii(text)[:12])
def test_settings_are_read_back_with_every_letter(tmp_path: Path, letter: str) -> None:
    """A network, a folder or a store may be called anything."""
    config = Config(home=f"/x{letter}y", base_networks=(letter, f"a{letter}"))
    write_config(tmp_path / "attune.toml", config)
    assert load_config(tmp_path / "attune.toml") == config


def test_a_folder_whose_name_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not whole"):
        write_config(tmp_path / "attune.toml", Config(home="/x\udcff"))


# --- Nothing but a newline ends a line ----------------------------------------------------------


def programs() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())
    for path in sorted((ROOT / "systemd").iterdir()):
        if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/python3"):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def called(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in names
        ):
            yield node


def test_no_program_divides_text_by_anything_but_a_newline() -> None:
    """`splitlines` ends a line at eleven letters, ten of which people may paste into a form."""
    found = [
        f"{name}:{call.lineno}" for name, tree in programs() for call in called(tree, "splitlines")
    ]
    assert not found, "use appliance.records.files.lines: " + ", ".join(found)


def test_no_pattern_ends_where_a_line_does() -> None:
    """`$` is also true before a last newline, so that a name that was checked could hold one."""
    found = []
    for name, tree in programs():
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        words = [
            word
            for call in calls
            for word in (*call.args[:1], *(k.value for k in call.keywords if k.arg == "pattern"))
            if ast.unparse(call.func).startswith("re.") or call.keywords
        ]
        found += [
            f"{name}:{word.lineno} {ast.unparse(word)}"
            for word in words
            if isinstance(word, ast.Constant | ast.JoinedStr)
            and ast.unparse(word).rstrip("'\"").endswith("$")
        ]
    assert not found, ", ".join(found)


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", " "])
def test_a_digest_in_a_record_ends_with_its_last_letter(end: str) -> None:
    good = Tail(name="0000.mp4.age", size=1, sha256="0" * 64)
    altered = msgspec.to_builtins(good) | {"sha256": "0" * 64 + end}
    assert msgspec.convert(msgspec.to_builtins(good), Tail) == good
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(altered, Tail)
