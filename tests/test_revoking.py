"""A practitioner leaves: the service's word takes them from every kit, and nobody else's does."""

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.files import Home, from_json, load_fact, save, to_json
from appliance.keys import PrivateKeys
from appliance.permits import Enrolled, Refusal, Revocation, read_revocation
from appliance.receipts import revocation_name, revocation_object
from firmware.recorder import State
from tests import homes
from tests.fakes import NOON, PRACTITIONER, SERVICE, Stage
from tests.pages import PASSPHRASE, WebKit, practitioner
from web_ui.keeper import Keeper

NAME = PRACTITIONER.card().name


def word(keys: PrivateKeys, name: str) -> bytes:
    return keys.signer.sign(
        f"{to_json(Revocation(practitioner=name, at=NOON)).decode()}\n"
    ).encode()


# --- The service and the sender -----------------------------------------------------------------


@pytest.fixture
def kit(tmp_path: Path) -> homes.SendingKit:
    homes.new_store(tmp_path / "service")
    return homes.SendingKit(tmp_path / "kit", tmp_path / "service")


def base(kit: homes.SendingKit, keys: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "appliance.base", kit.store.as_uri(), "-i", str(keys)]
    return subprocess.run(
        [*command, "--once", *options], capture_output=True, text=True, check=False
    )


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    (folder / "practitioners").mkdir(parents=True)
    save(folder / "service.key", homes.service().text().encode(), mode=0o600)
    save(folder / "practitioners" / "one.pub", to_json(homes.practitioner().card()))
    return folder


def test_whom_the_service_revokes_every_kit_of_theirs_hears_of(
    kit: homes.SendingKit, keys: Path
) -> None:
    name = homes.practitioner().card().name
    kit.sync()
    assert list(kit.home.inbox.iterdir()) == []
    done = base(kit, keys, "--revoke", name)
    assert done.returncode == 0, done.stderr
    kit.sync()
    note = (kit.home.inbox / revocation_name(name)).read_text()
    assert read_revocation(note, homes.service().card()).practitioner == name


def test_who_was_revoked_is_not_enrolled_again_with_the_same_keys(
    kit: homes.SendingKit, keys: Path, tmp_path: Path
) -> None:
    card = homes.practitioner().card()
    assert base(kit, keys, "--revoke", card.name).returncode == 0
    save(tmp_path / "again.pub", to_json(card))
    done = base(kit, keys, "--enrol", str(tmp_path / "again.pub"))
    assert (done.returncode, "was revoked" in done.stderr) == (1, True)


def test_a_revocation_that_the_service_did_not_sign_for_this_name_is_told_and_not_taken_in(
    kit: homes.SendingKit,
) -> None:
    name = homes.practitioner().card().name
    for note in (
        word(homes.practitioner(), name),
        word(homes.service(), "practitioner-x"),
        b"\xff",
    ):
        save_in(kit.store, revocation_object(name), note)
        status = kit.sync()
        assert [(p.object, p.code) for p in status.problems] == [
            (revocation_object(name), "false-order")
        ]
        assert list(kit.home.inbox.iterdir()) == []


def save_in(store: Path, name: str, data: bytes) -> None:
    (store / name).parent.mkdir(exist_ok=True)
    save(store / name, data)


# --- The recorder -------------------------------------------------------------------------------


def hear(stage: Stage, note: bytes) -> None:
    stage.home.prepare(stage.home.inbox)
    save(stage.home.inbox / revocation_name(NAME), note)
    stage.advance(2)


def enrolled(home: Home) -> Enrolled:
    found = load_fact(home.kit / "enrolled.json", Enrolled)
    assert found
    return found


def test_a_kit_obeys_a_revoked_practitioner_no_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    assert stage.state is State.READY
    hear(stage, word(SERVICE, NAME))
    assert enrolled(stage.home).practitioners == ()
    assert enrolled(stage.home).former == (PRACTITIONER.card(),)
    assert "revoked" in stage.events()
    stage.press()
    assert stage.status.reason == Refusal.PERMIT_NOT_SIGNED.value
    assert "camera on" not in stage.happened
    stage.close()


def test_nobody_but_the_service_revokes_and_only_whom_it_names(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    other = PrivateKeys.generate("service", x25519=True)
    for note in (word(PRACTITIONER, NAME), word(other, NAME), word(SERVICE, "practitioner-x"), b""):
        hear(stage, note)
    assert enrolled(stage.home).practitioners == (PRACTITIONER.card(),)
    assert stage.state is State.READY
    stage.close()


def test_another_practitioner_of_the_kit_stays_and_an_enrolment_does_not_forget_the_former(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    colleague, third = (PrivateKeys.generate("practitioner", x25519=True).card() for _ in range(2))
    stage.books.enrol(SERVICE.card(), colleague)
    hear(stage, word(SERVICE, NAME))
    assert enrolled(stage.home).practitioners == (colleague,)
    stage.books.enrol(SERVICE.card(), third)
    assert enrolled(stage.home).practitioners == (colleague, third)
    assert enrolled(stage.home).former == (PRACTITIONER.card(),)
    stage.close()


# --- The page -----------------------------------------------------------------------------------


def revoke_on_page(web: WebKit, card_number: int = 0) -> None:
    """As the recorder does."""
    data = from_json((web.home.kit / "enrolled.json").read_bytes(), Enrolled)
    gone = practitioner(card_number).card()
    stay = tuple(card for card in data.practitioners if card != gone)
    fact = Enrolled(service=data.service, practitioners=stay, former=(gone,))
    save(web.home.kit / "enrolled.json", to_json(fact))


def test_whoever_is_revoked_while_unlocked_is_locked_out_and_does_not_come_in_again(
    tmp_path: Path,
) -> None:
    web = WebKit(tmp_path)
    web.unlock()
    keeper = Keeper(web.parts)
    keeper.look()
    assert web.parts.seat.taken
    revoke_on_page(web)
    keeper.look()
    assert not web.parts.seat.taken
    web.browser.submit("/unlock", passphrase=PASSPHRASE)
    assert not web.parts.seat.taken


def test_what_a_revoked_practitioner_wrote_before_is_still_read_by_their_colleague(
    tmp_path: Path,
) -> None:
    web = WebKit(tmp_path)
    web.enrol(0, 1)
    web.unlock()
    case = web.make_case("Written before")
    holder = web.parts.seat.holder
    assert holder
    web.parts.cases.admit(holder.case(case), practitioner(1).card(), holder.service)
    web.browser.submit("/cases", action="/lock")
    revoke_on_page(web)
    web.unlock()
    assert "Written before" in web.browser.get("/cases").words
