"""`attune base STORE -i KEYS VERB`: each verb as somebody types it, and the options of before."""

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.base.__main__ import base
from appliance.records.files import save, to_json
from appliance.vault.keys import PrivateKeys
from tests.support.bases import Base
from tests.support.homes import contents, practitioner


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def started(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "appliance.base", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", sorted(base.commands))
def test_every_verb_has_help_with_an_example_and_can_print_an_object(name: str) -> None:
    verb = base.commands[name]
    words = (verb.help or "").partition("Example:")[2].split()
    assert words[:3] == ["attune", "base", "/srv/attune/store"] and name in words
    assert any("--json" in param.opts for param in verb.params)


def test_what_a_verb_would_remove_is_named_and_nothing_is_changed(at_base: Base) -> None:
    case = at_base.sent()
    at_base.withdrawn()
    before = contents(at_base.root)
    key = f"cases/{case}/identity-0001.age"
    assert at_base.told("withdraw", case, "--dry-run")["outcome"]["removed"] == [key]
    served = at_base.run("serve", "--dry-run")
    assert "Keys removed just now: identity-0001.age" in served.stdout
    at_base.told("reset", at_base.kit.id, "--dry-run")
    at_base.told("revoke", practitioner().card().name, "--dry-run")
    assert contents(at_base.root) == before


def test_a_family_that_rings_the_service_is_withdrawn_in_one_step(at_base: Base) -> None:
    case = at_base.sent()
    done = at_base.run("withdraw", case)
    assert done.returncode == 0, done.stderr
    assert f"Case {case} is withdrawn. Keys removed just now: identity-0001.age." in done.stderr
    assert at_base.identities(case) == []


def test_a_service_is_set_up_and_its_people_change_by_verbs(at_base: Base) -> None:
    case, kit, keys = at_base.sent(), at_base.kit, at_base.keys
    assert at_base.told("init")["store"] == at_base.store.as_uri()
    assert at_base.told("ceilings", "20", "2", "12")["signed"] == str(keys / "service-setup.pub")
    at_base.told("enrol", str(kit.home.kit / "kit.json"))
    new = str(at_base.root / "new.pub")
    save(Path(new), to_json(PrivateKeys.generate("practitioner").card()))
    let_in = at_base.told("let-in", new, "--case", case, "--kit", kit.id)
    assert [(one["case"], one["order"]) for one in let_in["cases"]] == [(case, 1)]
    old = practitioner().card().name
    again = at_base.told("recover", new, "--instead-of", old)
    assert [one["case"] for one in again["cases"]] == [case]
    assert at_base.told("revoke", old)["revoked"] == old
    assert at_base.told("reset", kit.id)["order"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("frobnicate",), "No such command 'frobnicate'"),
        (("--revoke", "x", "serve"), "stand after it"),
        (("withdraw", "a" * 16, "--film", "b" * 16), "the --kit that has it"),
        (("recover", "new.pub"), "--instead-of"),
        (("let-in", "new.pub"), "--case"),
    ],
)
def test_what_is_asked_for_wrongly_is_told_in_words(
    at_base: Base, words: tuple[str, ...], said: str
) -> None:
    done = at_base.run(*words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_verb_can_be_looked_up_without_any_keys() -> None:
    done = started("/nowhere", "serve", "--help")
    assert (done.returncode, "Example" in done.stdout) == (0, True)


def test_options_before_the_store_and_a_value_that_is_called_like_a_verb_are_understood(
    at_base: Base,
) -> None:
    folder = at_base.keys.rename(at_base.root / "serve")
    done = started("-i", str(folder), at_base.store.as_uri(), "serve", "--once")
    assert (done.returncode, "0 refused" in done.stdout) == (0, True), done.stderr


def test_a_roster_that_cannot_be_renewed_hides_no_outcome_and_keeps_no_order(
    at_base: Base,
) -> None:
    at_base.told("roster", "--publish")
    (at_base.keys / "roster" / "names.json").write_text("{")
    case, _order = at_base.withdrawn()
    done = at_base.run("serve", "--once")
    assert done.returncode == 1 and "The roster was not renewed" in done.stderr
    assert f"Case {case} is withdrawn" in done.stdout
    assert "Orders carried out: 1 now" in done.stdout
    assert at_base.identities(case) == []
