"""Two homes with one case, such as a copied card: what both wrote arrives, and nothing is stuck."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import seal
from appliance.base.cases import newest_key
from appliance.base.people import cases_of
from appliance.factory_reset import unsent
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.status import SyncStatus
from appliance.records.audit import Log
from appliance.records.files import new_id, save, to_json
from appliance.stores.folder import FolderStore
from appliance.vault.cases import Details, Goal, Goals, OpenCase
from appliance.vault.keys import PrivateKeys
from appliance.verifying import verify
from firmware.logs.checkpoints import Checkpoints
from tests.support.homes import (
    CLOCK,
    SendingKit,
    contents,
    new_store,
    practitioner,
    served,
    service,
)


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    new_store(tmp_path / "service")
    return SendingKit(tmp_path / "kit", tmp_path / "service")


def compared(kit: SendingKit) -> SyncStatus:
    """The first contact of a kit that was switched on."""
    return kit.sender().run(compare=True)


def copied(kit: SendingKit, root: Path, name: str) -> SendingKit:
    """The cases of a kit's card on another, whose kit has this id."""
    other = SendingKit(root, kit.store, name)
    shutil.copytree(kit.home.cases, other.home.cases, dirs_exist_ok=True)
    return other


def opened(kit: SendingKit, case: str) -> OpenCase:
    return kit.cases.open(case, practitioner(), [practitioner().signer.verifier])


def left(kit: SendingKit, case: OpenCase, text: str) -> OpenCase:
    """A colleague joins and leaves, so that the case has a new key: both homes call its file the
    same. Then something is written, and something of the form from before homes had names."""
    goals = Goals(goals=(Goal(id=new_id(), text=text),))
    leaver = PrivateKeys.generate("practitioner").card()
    here = (practitioner().card(),)
    both = Enrolled(service=service().card(), practitioners=(*here, leaver))
    renewed = kit.cases.release(kit.cases.admit(case, leaver, both), leaver.name, both)
    renewed.write(goals)
    note = practitioner().signer.sign(
        f'{{"attune":"document/v1","case":"{case.id}","name":"details","number":2}}\n'
        f"{to_json(Details(label=text, check_word='harbour')).decode()}\n"
    )
    sealed = seal(note.encode(), [parse_recipient(renewed.record.recipient)])
    save(case.directory.documents / "details-0002.age", sealed)
    return renewed


def test_what_two_homes_wrote_under_one_name_all_arrives_and_nothing_waits_for_ever(
    kit: SendingKit, tmp_path: Path
) -> None:
    case = kit.case()
    kit.sync()
    other = copied(kit, tmp_path / "other", new_id())
    ours = left(kit, case, "ours")
    theirs = left(other, opened(other, case.id), "theirs")
    for each in (kit, other):
        status = each.sync()
        assert (status.state, status.waiting, status.problems) == ("sent", 0, ())
    folder = kit.store / "cases" / case.id
    for name in ("identity-0003.age", "documents/details-0002.age"):
        mine, beside = sorted(
            path.read_bytes() for path in folder.glob(name.replace(".age", "*.age"))
        )
        assert {mine, beside} == {
            (each.home.case(case.id) / name).read_bytes() for each in (kit, other)
        }
    before = contents(kit.store)
    for each in (kit, other):
        assert (each.sync().sent, each.sync().state) == (0, "sent")
        assert compared(each).sent == 0
        assert list(unsent(each.home)) == []
    assert contents(kit.store) == before
    # The service reads on with both keys, and knows who works there.
    key = newest_key(FolderStore(kit.store), service(), case.id)
    assert key is not None and key[0] == 3
    for each in (ours, theirs):
        assert each.identity.secret_text() in key[1].decode()
    listed, _ = cases_of(
        FolderStore(kit.store), service(), practitioner().card().name, with_cards(tmp_path)
    )
    assert listed == [case.id]
    # Taken back, nothing of either opens any more.
    kit.withdraw(case.id)
    kit.sync()
    served(FolderStore(kit.store))
    assert not list(folder.glob("identity-*"))


def with_cards(root: Path) -> Path:
    (root / "folder" / "practitioners").mkdir(parents=True)
    card = root / "folder" / "practitioners" / "one.pub"
    save(card, to_json(practitioner().card()))
    return root / "folder"


def test_what_went_beside_another_and_was_lost_there_goes_once_more(
    kit: SendingKit, tmp_path: Path
) -> None:
    case = kit.case()
    kit.sync()
    other = copied(kit, tmp_path / "other", new_id())
    left(kit, case, "ours")
    left(other, opened(other, case.id), "theirs")
    kit.sync(), other.sync()
    (beside,) = kit.store.glob(f"cases/{case.id}/identity-0003-{other.id}-*.age")
    before = contents(kit.store)
    beside.unlink()
    assert compared(other).sent == 1
    assert contents(kit.store) == before


def test_rubbish_under_the_name_of_a_key_keeps_no_key_of_a_family_away(kit: SendingKit) -> None:
    """Whoever has a kit's way in can put it there first; in a folder, a directory as well."""
    first, second = kit.case().id, kit.case().id
    (kit.store / "cases" / first).mkdir(parents=True)
    (kit.store / "cases" / first / "identity-0001.age").write_bytes(b"rubbish")
    (kit.store / "cases" / second / "identity-0001.age").mkdir(parents=True)
    assert kit.sync().state == "sent"
    for case in (first, second):
        assert newest_key(FolderStore(kit.store), service(), case) is not None


def test_a_film_goes_beside_nothing(kit: SendingKit) -> None:
    """A film is only ever one: another under its name is told, and looked at by somebody."""
    case = kit.case().id
    film = kit.film(case)
    name = f"cases/{case}/recordings/{film}/0000.mp4.age"
    (kit.store / name).parent.mkdir(parents=True)
    (kit.store / name).write_bytes(b"another's")
    status = kit.sync()
    assert [(p.object, p.code) for p in status.problems] == [(name, "other-content")]
    assert status.waiting == 1


def test_a_card_that_was_copied_whole_sends_its_signed_heads_beside_the_others(
    kit: SendingKit, tmp_path: Path
) -> None:
    kit.case()
    twin = SendingKit(tmp_path / "twin", kit.store, kit.id)
    shutil.copytree(kit.home.kit, twin.home.kit, dirs_exist_ok=True)
    for each, event in ((kit, "unlocked"), (twin, "locked")):
        log = Log(each.home.log("web"), CLOCK)
        log.write(event)
        Checkpoints(each.home, kit.signer, CLOCK).sign()
        assert each.sync().state == "sent"
    with closing(FolderStore(kit.store)) as store:
        broken = verify(store, [kit.signer.verifier]).broken
    assert broken and "its card was copied" in broken.words
