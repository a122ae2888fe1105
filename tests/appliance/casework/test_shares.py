"""What a supervisor sees: chosen moments, under their own key, until a day, and no longer."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from appliance.age.unsealing import unseal
from appliance.casework import copies, shares
from appliance.casework.clips import Clip, shelf
from appliance.casework.consent import Consent, Hold
from appliance.casework.copies import CopyRefusal
from appliance.casework.shares import (
    ABOUT,
    Share,
    ShareAbout,
    is_over,
    remove_what_is_over,
    shares_of,
)
from appliance.casework.withdrawal import (
    finish_everything,
    finish_film,
    lift_hold,
    place_hold,
    withdraw_film,
)
from appliance.errors import BadInput, NoMatch, NotPossible
from appliance.protocol.case_record import is_withdrawn_share
from appliance.protocol.orders import ServiceOrder
from appliance.records.files import from_json, save, to_json
from appliance.stores.folder import FolderStore
from appliance.vault.cases import OpenCase
from appliance.vault.keys import PrivateKeys
from tests.appliance.casework.test_copies import consent, person, started
from tests.support import films
from tests.support.homes import (
    CLOCK,
    SendingKit,
    contents,
    new_store,
    practitioner,
    served,
    service,
)
from tests.support.moments import keep_clip, keep_still
from tests.support.places import ROOT

SUPERVISOR = PrivateKeys.generate("practitioner")
NOW = CLOCK.read().wall
UNTIL = NOW + timedelta(days=28)


@pytest.fixture(scope="module")
def film() -> bytes:
    return films.film(60)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return new_store(tmp_path / "service")


@pytest.fixture
def kit(tmp_path: Path, store: FolderStore) -> SendingKit:
    made = SendingKit(tmp_path / "kit", tmp_path / "service")
    made.home.prepare(made.home.inbox)
    return made


@pytest.fixture
def case(kit: SendingKit, film: bytes) -> Iterator[OpenCase]:
    """A case in which everybody agrees to a supervisor, with a clip and a still of two films."""
    made = kit.case()
    made.write(
        consent(person("Alex", "filming", "supervisor"), valid_until=NOW + timedelta(days=60))
    )
    keep_clip(made, kit.film(made.id), film, NOW)
    keep_still(made, kit.film(made.id), film, NOW)
    yield made


def shared(case: OpenCase, until: datetime = UNTIL) -> Share:
    kept = shelf(case).aside
    kept = sorted(kept, key=lambda one: isinstance(one, Clip), reverse=True)
    return shares.share(case, kept, SUPERVISOR.card(), "my supervisor", "supervisor", NOW, until)


def folder(case: OpenCase, share: Share) -> Path:
    return case.directory / "shares" / share.id


def at_service(kit: SendingKit) -> list[str]:
    return [name for name in contents(kit.store) if "/shares/" in name]


def test_the_supervisor_opens_the_chosen_moments_and_nothing_else(case: OpenCase) -> None:
    found = shared(case)
    clip, still = (folder(case, found) / name for name in ("1.mp4.age", "1.jpg.age"))
    assert unseal(clip.read_bytes(), [SUPERVISOR.identity])[4:8] == b"ftyp"
    assert unseal(still.read_bytes(), [SUPERVISOR.identity])[:2] == b"\xff\xd8"
    others = [path for path in case.directory.rglob("*.age") if path.parent != clip.parent]
    assert len(others) > 4
    for path in others:
        if path.parent.name != "clips" or path.stat().st_size != 3000:  # One is chance, unsealed.
            with pytest.raises(NoMatch):
                unseal(path.read_bytes(), [SUPERVISOR.identity])
    for key in (practitioner(), service()):
        with pytest.raises(NoMatch):
            unseal(clip.read_bytes(), [key.identity])


def test_the_supervisor_alone_is_told_until_when_and_how_long_each_is(case: OpenCase) -> None:
    found = shared(case)
    sealed = (folder(case, found) / ABOUT).read_bytes()
    about = from_json(unseal(sealed, [SUPERVISOR.identity]), ShareAbout)
    assert about.until == UNTIL
    (clip,) = case.read_all(Clip)
    files = [(one.name, one.seconds) for one in about.files]
    assert files == [("1.mp4.age", float(clip.seconds)), ("1.jpg.age", 0.0)]
    with pytest.raises(NoMatch):
        unseal(sealed, [practitioner().identity])


def test_the_command_opens_it_with_the_supervisors_key_file(case: OpenCase, tmp_path: Path) -> None:
    found, key, out = shared(case), tmp_path / "supervisor.key", tmp_path / "1.jpg"
    key.write_text(SUPERVISOR.text())
    sealed = folder(case, found) / "1.jpg.age"
    command = [ROOT / ".venv/bin/attune", "unseal", "-i", key, "-o", out]
    subprocess.run([*command, sealed], check=True, timeout=60)
    assert out.read_bytes()[:2] == b"\xff\xd8"


def test_no_word_of_what_was_shared_lies_in_the_open(case: OpenCase) -> None:
    found = shared(case)
    order = (case.directory / "ends" / found.id).read_bytes()
    assert b"supervisor" not in order and SUPERVISOR.card().name.encode() not in order
    assert [one.who for one in shares_of(case)] == ["my supervisor"]


@pytest.mark.parametrize("purpose", ["peers", "training"])
def test_what_was_agreed_to_for_a_supervisor_is_for_nothing_else(
    case: OpenCase, purpose: shares.SharedFor
) -> None:
    agreed = case.read_with_digest(Consent)
    assert agreed
    film = started(agreed[1], NOW)
    assert copies.judge(case, film, NOW, "supervisor") is None
    assert copies.judge(case, film, NOW, purpose) is CopyRefusal.NOT_AGREED


def test_it_ends_on_its_day_and_not_before_without_anybodys_key(case: OpenCase) -> None:
    found = shared(case)
    assert remove_what_is_over(case.directory, None) == []
    assert remove_what_is_over(case.directory, UNTIL - timedelta(seconds=1)) == []
    assert not is_over(case.directory, found, UNTIL - timedelta(seconds=1))
    assert remove_what_is_over(case.directory, UNTIL) == [found.id]
    assert not folder(case, found).exists() and is_over(case.directory, found, UNTIL)


def test_a_share_without_its_order_does_not_stay(case: OpenCase) -> None:
    found = shared(case)
    (case.directory / "ends" / found.id).unlink()
    assert remove_what_is_over(case.directory, None) == [found.id]


def test_it_can_be_ended_before_its_day_and_a_power_cut_between_is_finished(
    case: OpenCase, tmp_path: Path
) -> None:
    found = shared(case)
    shutil.copytree(folder(case, found), tmp_path / "before")
    shares.end(case, found, NOW)
    assert is_over(case.directory, found, NOW) and not folder(case, found).exists()
    shutil.copytree(tmp_path / "before", folder(case, found))
    assert remove_what_is_over(case.directory, None) == [found.id]


def test_what_such_a_cut_left_is_finished_with_all_the_rest(
    case: OpenCase, kit: SendingKit
) -> None:
    found = shared(case)
    (case.directory / "ends" / found.id).unlink()
    assert finish_everything(kit.home) == [] and not folder(case, found).exists()


def test_what_is_taken_back_or_agreed_to_no_more_is_shared_no_more(case: OpenCase) -> None:
    found, before = shared(case), case.read(Consent)
    assert before and shares.end_what_is_not_agreed(case, NOW) == []
    case.write(before.without(["supervisor"], NOW))
    assert shares.end_what_is_not_agreed(case, NOW) == [found.id]
    assert not folder(case, found).exists()
    assert shares.end_what_is_not_agreed(case, NOW) == []


def test_a_film_that_is_taken_back_takes_what_was_shared_of_it_along(
    kit: SendingKit, case: OpenCase
) -> None:
    found = shared(case)
    withdraw_film(case, found.films[0], kit.id, NOW)
    assert not folder(case, found).exists() and is_over(case.directory, found, NOW)


def test_so_does_one_that_the_service_orders_although_no_key_is_here(
    kit: SendingKit, case: OpenCase
) -> None:
    found = shared(case)
    order = ServiceOrder(number=1, kit=kit.id, case=case.id, film=found.films[0], at=NOW)
    (case.directory / "withdrawn").mkdir()
    note = service().signer.sign(to_json(order).decode() + "\n")
    save(case.directory / "withdrawn" / found.films[0], note.encode())
    finish_film(case.directory, found.films[0])
    assert not folder(case, found).exists()


def test_sharing_ends_at_once_with_a_withdrawal_even_under_a_hold(
    kit: SendingKit, case: OpenCase, store: FolderStore
) -> None:
    found = shared(case)
    kit.sync()
    assert at_service(kit)
    hold = Hold(role="lead", reason="an enquiry", review=UNTIL, at=NOW)
    place_hold(case, hold, service().chain)
    kit.withdraw(case.id)
    assert not folder(case, found).exists() and case.clips.exists()
    kit.sync()
    assert [one.state for one in served(store) if not one.share] == ["held"]
    assert at_service(kit) == []
    lift_hold(case.directory, practitioner().signer, NOW)
    kit.withdraw(case.id)
    left = sorted(path.name for path in case.directory.iterdir())
    assert left == ["case.json", "holds", "withdrawal"]


def test_it_travels_with_the_order_that_ends_it_and_goes_there_on_its_day(
    kit: SendingKit, case: OpenCase, store: FolderStore
) -> None:
    found = shared(case)
    assert kit.sync().state == "sent"
    files = {"1.mp4.age", "1.jpg.age", ABOUT}
    assert {name.rpartition("/")[2] for name in at_service(kit)} == files
    assert served(store) == []
    over = shared(case, until=NOW - timedelta(seconds=1))
    kit.sync()
    (done,) = served(store)
    assert (done.state, done.share, len(done.removed)) == ("done", over.id, 3)
    assert {name.split("/")[3] for name in at_service(kit)} == {found.id}
    (again,) = served(store)
    assert again.state == "done-before"


def test_nothing_more_of_a_share_is_sent_once_it_has_ended_or_is_gone(case: OpenCase) -> None:
    ended, over = shared(case), shared(case, until=NOW - timedelta(seconds=1))
    assert not is_withdrawn_share(case.directory, ended.id)
    assert not is_withdrawn_share(case.directory, over.id)
    shares.end(case, ended, NOW)
    # The power went before it was removed.
    folder(case, ended).mkdir()
    assert is_withdrawn_share(case.directory, ended.id)
    remove_what_is_over(case.directory, NOW)
    assert is_withdrawn_share(case.directory, over.id)


def test_ended_before_its_day_it_goes_at_the_service_too(
    kit: SendingKit, case: OpenCase, store: FolderStore
) -> None:
    found = shared(case)
    kit.sync()
    shares.end(case, found, NOW)
    kit.sync()
    (done,) = served(store)
    assert (done.share, at_service(kit)) == (found.id, [])


def test_an_order_for_a_share_that_nobody_of_the_service_signed_removes_nothing(
    kit: SendingKit, case: OpenCase, store: FolderStore
) -> None:
    found = shared(case)
    kit.sync()
    path = case.directory / "ends" / f"{found.id}-now"
    text = (case.directory / "ends" / found.id).read_text().partition("\n\n")[0] + "\n"
    text = text.replace(str(UNTIL.year), "2020")
    path.write_text(SUPERVISOR.signer.sign(text))
    kit.sync()
    assert not [one for one in served(store) if one.state == "done"]
    assert len(at_service(kit)) == 3


def test_a_moment_that_is_not_what_was_kept_is_not_shared(case: OpenCase) -> None:
    kept = shelf(case).aside[0]
    (case.clips / kept.file).write_bytes(b"something else")
    with pytest.raises(BadInput):
        shares.share(case, [kept], SUPERVISOR.card(), "x", "supervisor", NOW, UNTIL)
    (case.clips / kept.file).unlink()
    with pytest.raises(NotPossible):
        shares.share(case, [kept], SUPERVISOR.card(), "x", "supervisor", NOW, UNTIL)


def test_nothing_is_shared_with_a_service(case: OpenCase) -> None:
    with pytest.raises(BadInput, match="one person"):
        shares.share(case, shelf(case).aside, service().card(), "x", "supervisor", NOW, UNTIL)


def test_a_withdrawal_names_what_others_may_have_opened(case: OpenCase) -> None:
    shared(case)
    (out,) = shares.out_of_reach(case)
    assert (out.way, out.files) == ("share", 2)


def test_a_second_share_is_of_its_own(case: OpenCase) -> None:
    first, second = shared(case), shared(case)
    shares.end(case, first, NOW)
    assert folder(case, second).exists() and len(shares_of(case)) == 2
