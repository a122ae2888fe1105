"""A store that an earlier version left goes on with today's kits and today's service."""

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from appliance.age.identities import identity_lines
from appliance.base.cases import newest_key
from appliance.casework.closing import withdraw
from appliance.protocol.cards import KitCard
from appliance.records.audit import Log
from appliance.records.files import Home, new_id, save_fact
from appliance.records.signing import Signer
from appliance.stores.folder import FolderStore
from appliance.sync.sender import Sender
from appliance.vault.cases import Cases, Goal, Goals, OpenCase
from appliance.vault.keys import PrivateKeys
from tests.support.homes import CLOCK, STARTED, contents
from tests.support.places import TESTS

LEFT = TESTS / "data" / "store-228743c"
CASE, WITHDRAWN, KIT = "kajvr5kb22f5ijij", "rse5mgpjo52byy7m", "ngl3xywsit3imqan"
KEYS = PrivateKeys.parse((LEFT / "practitioner.key").read_text())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(LEFT, tmp_path / "service")
    return tmp_path / "service"


def base(root: Path, *words: str, status: int = 0) -> dict[str, Any]:
    """What a verb of `attune base` prints as an object."""
    store = (root / "store").as_uri()
    command = [sys.executable, "-m", "appliance.base", store, "-i", str(root / "keys")]
    done = subprocess.run([*command, *words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def home_of(root: Path) -> Home:
    return Home(root / "home", root / "run")


def opened(home: Home) -> OpenCase:
    return Cases(home).open(CASE, KEYS, [KEYS.signer.verifier])


def sends(home: Home, root: Path) -> None:
    """Everything goes, and nothing waits."""
    home.prepare(home.receipts, home.inbox)
    log = Log(home.log("sync"), CLOCK)
    sender = Sender(home, lambda: FolderStore(root / "store"), CLOCK, log, lambda status: None)
    status = sender.run(compare=True)
    assert (status.state, status.waiting, status.problems) == ("sent", 0, ())


def goals(text: str) -> Goals:
    return Goals(goals=(Goal(id=new_id(), text=text),))


def test_todays_service_finds_it_whole_and_does_nothing_twice(root: Path) -> None:
    base(root, "enrol", str(root / "home" / "kit" / "kit.json"))
    before = contents(root / "store")
    served = base(root, "serve", "--once")
    assert [order["state"] for order in served["orders"]] in ([], ["done-before"])
    # Its film was made for tests: what it says it is sealed to is no key of anybody's.
    found = base(root, "audit", "--sample", "100", status=1)["audit"]["findings"]
    assert found == [{"object": f"cases/{CASE}", "code": "key"}]
    after = contents(root / "store")
    assert {name: after.get(name) for name in before} == before
    with closing(FolderStore(root / "store")) as store:
        service = PrivateKeys.parse((LEFT / "keys" / "service.key").read_text())
        key = newest_key(store, service, CASE)
        assert newest_key(store, service, WITHDRAWN) is None
    assert key and key[0] == 1
    assert identity_lines(key[1].decode()) == [opened(home_of(root)).identity.secret_text()]


def test_todays_kit_goes_on_with_it_and_sends_nothing_that_is_there(root: Path) -> None:
    before = contents(root / "store")
    sends(home_of(root), root)
    assert contents(root / "store") == before
    case = opened(home_of(root))
    case.write(goals("since"))
    sends(home_of(root), root)
    new = set(contents(root / "store")) - set(before)
    # The public list of its people is new to a home of then.
    (people,) = (path.name for path in case.directory.glob("team-*"))
    assert new == {f"cases/{CASE}/documents/goals-0003-{KIT}.age", f"cases/{CASE}/{people}"}


def test_its_card_copied_to_another_kit_both_go_on_and_one_withdrawal_ends_both(
    root: Path,
) -> None:
    ours = home_of(root)
    shutil.copytree(ours.root, root / "other" / "home")
    other = Home(root / "other" / "home", root / "other" / "run")
    name = new_id()
    card = KitCard(id=name, verifier=str(Signer.generate(f"kit-{name}").verifier))
    save_fact(other.kit_card, card)
    # The films of the card are the first kit's.
    shutil.rmtree(other.recordings)
    other.recordings.mkdir()
    for home, text in ((ours, "ours"), (other, "theirs")):
        opened(home).write(goals(text))
        sends(home, root)
    documents = {path.name for path in (root / "store/cases" / CASE / "documents").iterdir()}
    assert {f"goals-0003-{KIT}.age", f"goals-0003-{name}.age"} <= documents
    withdraw(other.case(CASE), KEYS, name, STARTED)
    sends(other, root)
    states = [order["state"] for order in base(root, "serve", "--once")["orders"]]
    assert "done" in states and not {"refused", "failed", "asks"} & set(states)
    assert not list((root / "store" / "cases" / CASE).glob("identity-*"))
