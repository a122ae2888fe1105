"""A hold reaches the store: nothing that it keeps is removed there, whoever asks (F5)."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from appliance.age.sealing import seal
from appliance.base.orders import put_note
from appliance.casework.consent import Hold
from appliance.casework.withdrawal import hear_service, lift_hold, place_hold, withdraw_film
from appliance.protocol.case_record import held, is_withdrawn
from appliance.protocol.objects import hold_object, tombstone_object
from appliance.protocol.orders import (
    HoldEnd,
    HoldNotice,
    Tombstone,
    Withdrawal,
    hold_name,
    read_hold,
)
from appliance.records.files import new_id, save, to_json
from appliance.records.signing import open_fact, sign_fact
from appliance.vault.keys import PrivateKeys
from tests.support.bases import Base
from tests.support.homes import CLOCK, contents, practitioner, served, service

NOW = CLOCK.read().wall
LATER = NOW + timedelta(days=30)


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def hold_on(at_base: Base, case: str) -> None:
    hold = Hold(role="safeguarding lead", reason="an enquiry", review=LATER, at=NOW)
    place_hold(at_base.opened(case), hold, service().chain)


def states(at_base: Base, status: int = 0) -> list[str]:
    orders = at_base.told("serve", "--once", status=status)["orders"]
    return sorted(order["state"] for order in orders)


def tombstone(at_base: Base, name: str) -> Tombstone:
    note = (at_base.store / tombstone_object(name)).read_bytes()
    return open_fact(note, [service().signer.verifier], Tombstone)[0]


def test_a_film_that_is_taken_back_under_a_hold_stays_at_the_store_until_it_is_lifted(
    at_base: Base,
) -> None:
    case = at_base.sent()
    film = at_base.kit.film(case)
    at_base.kit.sync()
    hold_on(at_base, case)
    withdraw_film(at_base.opened(case), film, at_base.kit.id, NOW)
    at_base.kit.sync()
    assert states(at_base) == ["held"]
    assert [name for name in contents(at_base.store) if f"/{film}/" in name]
    lift_hold(at_base.kit.home.case(case), practitioner().signer, NOW)
    at_base.kit.sync()
    assert states(at_base) == ["done"]
    assert not [name for name in contents(at_base.store) if f"/{film}/" in name]


def public(at_base: Base, case: str) -> tuple[Path, Path]:
    """The order and the reason of the only hold on a case, at the store."""
    order, why = sorted((at_base.store / "holds" / case).iterdir())
    return order, why


def test_what_is_public_of_a_hold_is_a_signed_notice_without_a_reason(at_base: Base) -> None:
    case = at_base.sent()
    hold_on(at_base, case)
    at_base.kit.sync()
    path, why = public(at_base, case)
    notice, by = open_fact(path.read_bytes(), [practitioner().signer.verifier], HoldNotice)
    assert notice == HoldNotice(case=case, film="", signer=by.name, since=NOW, until=LATER)
    assert path.name == hold_name(path.read_bytes()) and why.name == f"why-{path.name}.age"
    everywhere = {**contents(at_base.store), **contents(at_base.kit.home.root)}
    assert not [name for name, data in everywhere.items() if b"enquiry" in data or b"lead" in data]


def test_why_a_case_is_held_is_read_with_the_services_opening_key(at_base: Base) -> None:
    case = at_base.sent()
    hold_on(at_base, case)
    # The family withdraws before the kit was at base: nothing else of the case goes any more.
    at_base.kit.withdraw(case)
    at_base.kit.sync()
    assert states(at_base) == ["held"]
    (told,) = at_base.told("hold", case)["holds"]
    assert (told["role"], told["reason"]) == ("safeguarding lead", "an enquiry")
    (seen,) = at_base.told("cases")["cases"]
    assert seen["held"] == ["Decided by: safeguarding lead. Reason: an enquiry"]


def test_the_service_seals_why_it_holds_a_case_itself(at_base: Base) -> None:
    case = at_base.sent()
    words = ("hold", case, "--until", f"{LATER:%Y-%m-%d}", "--role", "lead")
    done = at_base.run(*words, said="an enquiry\n")
    assert done.returncode == 0 and "Decided by: lead. Reason: an enquiry" in done.stderr
    assert b"enquiry" not in b"".join(contents(at_base.store).values())
    # A machine that only signs says where it stands; so does one that finds something else there.
    _order, why = public(at_base, case)
    why.write_bytes(seal(b"rubbish", [service().identity.recipient]))
    (told,) = at_base.told("hold", case)["holds"]
    assert told["reason"] == "" and why.name in told["why"]
    why.write_bytes(seal(b"rubbish", [practitioner().identity.recipient]))
    (told,) = at_base.told("hold", case)["holds"]
    assert told["reason"] == "" and f"sealed in holds/{case}/{why.name}" in told["why"]
    why.unlink()
    assert "No reason came" in at_base.told("hold", case)["holds"][0]["why"]


def test_why_a_case_was_held_goes_with_the_case_and_not_while_anything_holds_it(
    at_base: Base,
) -> None:
    case = at_base.sent()
    hold_on(at_base, case)
    at_base.kit.sync()
    _order, why = public(at_base, case)
    at_base.told("hold", case, "--until", f"{LATER:%Y-%m-%d}")
    directory = at_base.kit.home.case(case)
    lift_hold(directory, practitioner().signer, NOW)
    at_base.kit.withdraw(case)
    at_base.kit.sync()
    # The service's own hold still keeps it here; the kit has no more use for it.
    assert states(at_base) == ["held"] and why.exists()
    assert not list((directory / "holds").glob("why-*"))
    at_base.told("hold", case, "--lift")
    assert states(at_base) == ["done"] and not why.exists()
    # What a kit that had not heard yet sends of it goes again.
    why.write_bytes(b"age-encryption.org/v1\n")
    assert states(at_base) == ["done-before"] and not why.exists()


def test_the_services_own_order_waits_for_the_hold_of_a_kit(at_base: Base) -> None:
    case = at_base.sent()
    hold_on(at_base, case)
    at_base.kit.sync()
    assert at_base.told("withdraw", case)["outcome"]["state"] == "held"
    assert at_base.identities(case) and tombstone(at_base, case).held
    film = at_base.kit.film(case)
    done = at_base.run("withdraw", case, "--film", film, "--kit", at_base.kit.id)
    assert (done.returncode, "There is a hold on film" in done.stderr) == (1, True)
    # Closed everywhere, and removed nowhere.
    at_base.kit.sync()
    hear_service(at_base.kit.home)
    directory = at_base.kit.home.case(case)
    assert is_withdrawn(directory) and list(directory.glob("identity-*"))
    lift_hold(directory, practitioner().signer, NOW)
    assert held(directory)
    at_base.kit.sync()
    assert states(at_base) == ["done"]
    assert at_base.identities(case) == [] and not tombstone(at_base, case).held
    at_base.kit.sync()
    hear_service(at_base.kit.home)
    assert not list(directory.glob("identity-*")) and not held(directory)


def test_the_service_places_a_hold_itself_and_lifts_it(at_base: Base) -> None:
    case = at_base.sent()
    day = f"{LATER:%Y-%m-%d}"
    assert at_base.told("hold", case, "--until", day, "--dry-run")["holds"]
    assert not (at_base.store / "holds").exists()
    (placed,) = at_base.told("hold", case, "--until", day)["holds"]
    assert (placed["case"], placed["signer"]) == (case, service().card().name)
    order = at_base.kit.withdraw(case)
    at_base.kit.sync()
    assert states(at_base) == ["held"]
    assert at_base.identities(case) and tombstone(at_base, case).held
    at_base.kit.sync()
    # A practitioner does not lift what the service holds.
    (path,) = (at_base.store / "holds" / case).iterdir()
    end = HoldEnd(case=case, hold=path.name, signer=practitioner().card().name, at=NOW)
    note = sign_fact(practitioner().signer, end).encode()
    put_note(at_base.folder, hold_object(case, f"{path.name}-lifted"), note)
    assert states(at_base, 1) == ["held", "refused"]
    assert at_base.told("hold", case, "--lift")["lifted"] is True
    assert at_base.told("hold", case)["holds"] == []
    assert states(at_base) == ["done"]
    assert at_base.identities(case) == []
    # The kit that asked hears how it ended.
    at_base.kit.sync()
    answer = (at_base.kit.home.inbox / order).read_bytes()
    assert not open_fact(answer, [service().signer.verifier], Tombstone)[0].held


def test_a_hold_on_one_film_keeps_the_keys_of_its_case(at_base: Base) -> None:
    case = at_base.sent()
    film, free = at_base.kit.film(case), at_base.kit.film(case)
    at_base.kit.sync()
    at_base.told("hold", case, "--film", film, "--until", f"{LATER:%Y-%m-%d}")
    for name in (film, free):
        withdraw_film(at_base.opened(case), name, at_base.kit.id, NOW)
    at_base.kit.sync()
    assert states(at_base) == ["done", "held"]
    there = contents(at_base.store)
    assert [name for name in there if f"/{film}/" in name]
    assert not [name for name in there if f"/{free}/" in name]
    assert at_base.told("withdraw", case)["outcome"]["state"] == "held"
    assert at_base.identities(case)


def test_a_hold_that_nobody_of_the_service_signed_holds_nothing_and_is_told(
    at_base: Base,
) -> None:
    case, _ = at_base.withdrawn()
    stranger = PrivateKeys.generate("practitioner")
    notice = HoldNotice(case=case, signer=stranger.card().name, since=NOW, until=LATER)
    note = sign_fact(stranger.signer, notice).encode()
    put_note(at_base.folder, hold_object(case, hold_name(note)), note)
    put_note(at_base.folder, "holds/rubbish", b"rubbish")
    (at_base.store / "holds" / case / "0123456789abcdef").mkdir()
    assert states(at_base, 1) == ["done", "refused", "refused"]
    assert at_base.identities(case) == []


def test_a_hold_of_somebody_of_whom_nobody_knows_when_they_left_is_told_and_stops_nothing(
    at_base: Base,
) -> None:
    case, other = at_base.sent(), at_base.withdrawn()[0]
    hold_on(at_base, case)
    at_base.kit.sync()
    # Their card was moved by hand, and nothing was signed.
    left = at_base.keys / "revoked"
    left.mkdir()
    (at_base.keys / "practitioners" / "one.pub").rename(left / "one.pub")
    assert "refused" in states(at_base, 1)
    at_base.told("withdraw", other)
    assert at_base.identities(other) == [] and at_base.identities(case)


def test_a_hold_that_an_older_kit_wrote_is_sent_and_honoured(at_base: Base) -> None:
    case = at_base.sent()
    text = f'{{"attune":"hold-notice/v1","case":"{case}","review":"{LATER.isoformat()}"}}\n'
    at_base.kit.home.case(case).hold.write_text(practitioner().signer.sign(text))
    assert read_hold(text).until == LATER
    at_base.kit.sync()
    assert at_base.told("withdraw", case)["outcome"]["state"] == "held"
    assert at_base.identities(case)


def test_a_hold_outlives_the_store_that_knew_of_it(at_base: Base) -> None:
    case = at_base.sent()
    at_base.told("hold", case, "--until", f"{LATER:%Y-%m-%d}")
    (path,) = (at_base.store / "holds" / case).iterdir()
    path.unlink()
    (at_base.store / "service" / "ledger").unlink()
    assert at_base.told("withdraw", case)["outcome"]["state"] == "held"
    assert path.exists()


def test_a_hold_and_its_end_that_the_store_has_lost_are_put_back_in_the_next_round(
    at_base: Base,
) -> None:
    case = at_base.sent()
    at_base.told("hold", case, "--until", f"{LATER:%Y-%m-%d}")
    at_base.told("hold", case, "--lift")
    at_base.run("serve", "--once")
    folder = at_base.store / "holds" / case
    there = contents(folder)
    assert len(there) == 2
    for name in there:
        (folder / name).unlink()
        served(at_base.folder)
        assert contents(folder) == there


@pytest.mark.parametrize("since", [LATER, None])
def test_who_left_lifts_no_hold_that_was_placed_after_they_had(
    at_base: Base, since: datetime | None
) -> None:
    """They date the end back, and their withdrawal too: the keys would go in one round."""
    case, leaver = at_base.sent(), at_base.enrolled()
    save(at_base.root / "leaver.pub", to_json(leaver.card()))
    at_base.told("let-in", str(at_base.root / "leaver.pub"), "--case", case)
    at_base.told("revoke", leaver.card().name)
    placed = HoldNotice(case=case, signer=practitioner().card().name, since=since, until=LATER)
    note = sign_fact(practitioner().signer, placed).encode()
    if since is None:
        text = f'{{"attune":"hold-notice/v1","case":"{case}","review":"{LATER.isoformat()}"}}\n'
        note = practitioner().signer.sign(text).encode()
    put_note(at_base.folder, hold_object(case, hold_name(note)), note)
    assert states(at_base) == []
    before = NOW - timedelta(days=30)
    end = HoldEnd(case=case, hold=hold_name(note), signer=leaver.card().name, at=before)
    where = hold_object(case, f"{hold_name(note)}-lifted")
    put_note(at_base.folder, where, sign_fact(leaver.signer, end).encode())
    at_base.place(Withdrawal(id=new_id(), case=case, kit="", at=before), leaver)
    assert states(at_base, 1) == ["held", "refused"]
    assert at_base.identities(case)
    # The service lifts it, although a kit's clock was ahead.
    assert at_base.told("hold", case, "--lift")["lifted"] is True
