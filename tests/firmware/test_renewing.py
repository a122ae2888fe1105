"""A case with a new key since somebody left it: the kit films to it after a press, not before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.age.identities import generate_identity
from appliance.protocol.enrolment import Revocation
from appliance.protocol.objects import revocation_name
from appliance.protocol.permits import Renewed
from appliance.protocol.requests import Renew
from appliance.protocol.status import Pattern, State
from appliance.records.files import new_id, save, to_json
from appliance.records.signing import sign_fact
from appliance.vault.keys import PrivateKeys
from firmware.books import KitBooks
from firmware.recorder import PRESENCE_LASTS, REFUSAL_SHOWN
from tests.support.fakes import PRACTITIONER, SERVICE, Stage

STRANGER = PrivateKeys.generate("practitioner", x25519=True)
NEW = str(generate_identity(x25519=True).recipient)


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Stage]:
    """A kit that has filmed the case, and whose case has another key since."""
    kit = Stage(tmp_path)
    kit.arm()
    kit.press()
    kit.press()
    kit.settle()
    kit.arm(recipient=NEW)
    kit.advance(REFUSAL_SHOWN + 1.1)
    yield kit
    kit.close()


def renew(stage: Stage, signer: PrivateKeys = PRACTITIONER, **changes: Any) -> Renew:
    now = stage.clock.read()
    renewed = Renewed(kit=stage.books.kit, case=stage.case, recipient=NEW)
    text = to_json(msgspec.structs.replace(renewed, **changes)).decode()
    note = signer.signer.sign(text + "\n")
    return Renew(id=new_id(), boot=now.boot, boottime=now.boottime, note=note)


def films(kit: Stage) -> bool:
    kit.press()
    return kit.state is State.FILMING


def test_the_new_key_is_filmed_to_after_a_press_and_after_the_next_start_too(kit: Stage) -> None:
    assert not films(kit)
    kit.advance(REFUSAL_SHOWN + 1.1)
    request = renew(kit)
    assert kit.ask(request) == "waiting"
    assert (kit.state, kit.light.pattern) == (State.ASKED, Pattern.PRESENCE)
    kit.press_when_asked()
    assert kit.status.answers[request.id] == "done"
    assert kit.events().count("case-renewed") == 1
    assert KitBooks(kit.home).books.recipients == kit.books.books.recipients
    kit.advance(1.1)
    assert films(kit)


def test_without_a_press_the_old_key_stays_the_only_one(kit: Stage) -> None:
    request = renew(kit)
    kit.ask(request)
    kit.advance(PRESENCE_LASTS + 0.1)
    assert kit.status.answers[request.id] == "timed-out"
    assert not films(kit)


@pytest.mark.parametrize(
    ("signer", "changes"),
    [
        (STRANGER, {}),
        (PRACTITIONER, {"kit": new_id()}),
        (PRACTITIONER, {"case": "../../etc"}),
        (PRACTITIONER, {"recipient": "age1nothing"}),
    ],
)
def test_what_no_practitioner_of_this_kit_has_signed_for_it_asks_for_no_press(
    kit: Stage, signer: PrivateKeys, changes: dict[str, str]
) -> None:
    assert kit.ask(renew(kit, signer, **changes)) == "refused"
    assert kit.state not in (State.ASKED, State.PRESENCE)


def test_a_key_confirmed_for_one_case_is_not_taken_for_another(kit: Stage) -> None:
    kit.ask(renew(kit, case=new_id()))
    kit.press_when_asked()
    kit.advance(1.1)
    assert not films(kit)


def test_a_key_by_somebody_who_was_revoked_meanwhile_is_not_taken_although_it_is_pressed_for(
    kit: Stage,
) -> None:
    request = renew(kit)
    assert kit.ask(request) == "waiting"
    name = PRACTITIONER.card().name
    kit.home.prepare(kit.home.inbox)
    note = sign_fact(SERVICE.signer, Revocation(practitioner=name, at=kit.clock.read().wall))
    save(kit.home.inbox / revocation_name(name), note.encode())
    assert kit.books.revoke() == (name,)
    assert kit.inbox.confirm(request.id) is None
    assert kit.inbox.answers[request.id] == "refused"
    assert not films(kit)
