"""What a store has lost comes back from a copy of it: only what is what it should be, nothing that
was taken back, and nothing over what is there."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.base.keeping.restoring import Restorer
from appliance.errors import SendInterrupted
from appliance.protocol.cards import KitCard
from appliance.protocol.orders import FilmWithdrawal
from appliance.records.files import from_json, new_id
from appliance.stores.folder import FolderStore
from appliance.stores.store import Entry
from tests.support.bases import Base
from tests.support.chance import in_a_child
from tests.support.homes import STARTED, contents, desk, practitioner, service


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    """A service whose one kit is enrolled."""
    made = Base(tmp_path)
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    return made


def backed_up(at_base: Base) -> Path:
    """A copy of the store as it is now."""
    copy = at_base.root / "backup"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(at_base.store, copy)
    return copy


def restore(at_base: Base, *words: str, status: int = 0) -> dict[str, Any]:
    copy = ("--from", str(at_base.root / "backup"))
    return at_base.told("restore", *copy, *words, status=status)


def lose(at_base: Base, *rooms: str) -> None:
    for room in rooms or ("cases", "kits", "orders", "tombstones", "holds"):
        shutil.rmtree(at_base.store / room, ignore_errors=True)


def of_families(at_base: Base) -> dict[str, bytes]:
    """What the store has but for what base signs at each contact."""
    every = contents(at_base.store)
    return {name: data for name, data in every.items() if not name.startswith("service/")}


def why(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["object"], one["why"]) for one in told["left_out"]]


def film_of(at_base: Base, case: str, root: str = "service") -> Path:
    (film,) = (at_base.root / root / "cases" / case / "recordings").iterdir()
    return film


def test_a_store_that_lost_everything_of_families_has_it_again(at_base: Base) -> None:
    at_base.sent()
    at_base.withdrawn()
    at_base.told("serve", "--once")
    before = of_families(at_base)
    backed_up(at_base)
    kept = {name: data for name, data in before.items() if f"cases/{closed(at_base)}" not in name}
    lose(at_base)
    rehearsed = restore(at_base, "--dry-run")
    assert (rehearsed["films"], rehearsed["dry_run"]) == (1, True)
    assert not (at_base.store / "cases").exists()
    told = restore(at_base)
    assert of_families(at_base) == kept
    assert (told["back"], told["films"]) == (rehearsed["back"], 1)
    assert (told["missing"], why(told)) == ([], [(f"cases/{closed(at_base)}/", "taken-back")])
    again = restore(at_base)
    assert (again["back"], again["films"], of_families(at_base)) == (0, 0, kept)


def closed(at_base: Base) -> str:
    """The case that was withdrawn."""
    (case,) = (path.name for path in (at_base.root / "backup" / "tombstones").iterdir())
    return case


def test_it_says_what_it_did(at_base: Base) -> None:
    at_base.withdrawn()
    at_base.told("serve", "--once")
    at_base.sent()
    backed_up(at_base)
    lose(at_base)
    done = at_base.run("restore", "--from", str(at_base.root / "backup"))
    assert done.returncode == 0
    assert "From the ledger: 1 put back, 0 that were taken back removed." in done.stderr
    assert f"Left out: cases/{closed(at_base)}/ was taken back" in done.stderr
    assert "of 1 films and other things put back" in done.stderr
    assert "Left out: 1 that were taken back, 0 for another reason." in done.stderr
    assert "No audit misses anything now." in done.stderr


def test_a_store_that_came_back_from_before_a_withdrawal_is_mended_by_the_ledger_alone(
    at_base: Base,
) -> None:
    case = at_base.sent()
    copy = backed_up(at_base)
    at_base.kit.withdraw(case)
    at_base.kit.sync()
    at_base.told("serve", "--once")
    shutil.rmtree(at_base.store)
    shutil.copytree(copy, at_base.store)
    told = at_base.told("restore", "--dry-run")
    removed = told["mended"]["removed"]
    assert removed and at_base.identities(case)
    assert at_base.told("restore")["mended"]["removed"] == removed
    assert at_base.identities(case) == []
    assert (at_base.store / "tombstones" / case).exists()


def test_nothing_comes_back_from_before_a_withdrawal(at_base: Base) -> None:
    case = at_base.sent()
    backed_up(at_base)
    at_base.kit.withdraw(case)
    at_base.kit.sync()
    at_base.told("serve", "--once")
    told = restore(at_base)
    assert (told["back"], why(told)) == (0, [(f"cases/{case}/", "taken-back")])
    assert at_base.identities(case) == []


@pytest.mark.parametrize("place", ["service", "backup"])
def test_nothing_comes_back_of_a_film_whose_withdrawal_nobody_has_seen_yet(
    at_base: Base, place: str
) -> None:
    case = at_base.sent()
    film = film_of(at_base, case).name
    backed_up(at_base)
    lose(at_base, "cases")
    order = FilmWithdrawal(
        id=new_id(), case=case, kit=at_base.kit.id, film=film, clips=(), at=STARTED
    )
    there = at_base.place(order, practitioner())
    if place == "backup":
        (at_base.root / "backup" / "orders").mkdir(exist_ok=True)
        there.rename(at_base.root / "backup" / "orders" / order.id)
    told = restore(at_base)
    assert why(told) == [(f"cases/{case}/recordings/{film}/", "taken-back")]
    assert at_base.identities(case) and not (at_base.store / "cases" / case / "recordings").exists()
    assert there.exists()


def test_a_film_that_was_taken_back_is_told_as_left_out(at_base: Base) -> None:
    case = at_base.sent()
    film = film_of(at_base, case).name
    backed_up(at_base)
    at_base.place(taken_back(at_base, case, film), practitioner())
    at_base.told("serve", "--once")
    assert why(restore(at_base)) == [(f"cases/{case}/recordings/{film}/", "taken-back")]


@pytest.mark.parametrize(("dies_at", "whole"), [(21, False), (25, True)])
def test_what_went_of_a_film_before_a_hold_came_is_told_as_left_out(
    at_base: Base, dies_at: int, whole: bool
) -> None:
    case = at_base.sent()
    film = film_of(at_base, case)
    backed_up(at_base)
    before = {f"cases/{name}" for name in contents(at_base.store / "cases")}
    at_base.place(taken_back(at_base, case, film.name), practitioner())
    assert in_a_child(lambda: work(at_base), dies_at) == ""
    at_base.told("hold", case, "--until", f"{STARTED + timedelta(days=3650):%Y-%m-%d}")
    gone = before - {f"cases/{name}" for name in contents(at_base.store / "cases")}
    assert gone and film.exists() is not whole
    told = restore(at_base, status=0 if whole else 1)
    assert why(told) == [(name, "taken-back") for name in sorted(gone)]
    assert not gone & {f"cases/{name}" for name in contents(at_base.store / "cases")}


def taken_back(at_base: Base, case: str, film: str) -> FilmWithdrawal:
    return FilmWithdrawal(
        id=new_id(), case=case, kit=at_base.kit.id, film=film, clips=(), at=STARTED
    )


def work(at_base: Base) -> None:
    with desk(at_base.folder) as at_work:
        at_work.work()


def test_under_a_hold_what_was_lost_comes_back_although_it_was_taken_back(at_base: Base) -> None:
    case = at_base.sent()
    day = f"{STARTED + timedelta(days=3650):%Y-%m-%d}"
    at_base.told("hold", case, "--until", day)
    at_base.kit.withdraw(case)
    at_base.kit.sync()
    at_base.told("serve", "--once")
    backed_up(at_base)
    before = contents(at_base.store / "cases")
    lose(at_base, "cases")
    told = restore(at_base)
    assert contents(at_base.store / "cases") == before and told["left_out"] == []


def _altered(folder: Path, _other: Path) -> None:
    path = folder / "0000.mp4.age"
    path.chmod(0o600)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def _longer(folder: Path, _other: Path) -> None:
    path = folder / "0000.mp4.age"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b"?")


def _of_another(folder: Path, other: Path) -> None:
    for path in other.iterdir():
        (folder / path.name).unlink(missing_ok=True)
        shutil.copyfile(path, folder / path.name)


def _planted(folder: Path, _other: Path) -> None:
    (folder / "0009.mp4.age").write_bytes(b"age-encryption.org/v1\n")


def _no_file(folder: Path, _other: Path) -> None:
    (folder / "0000.mp4.age").unlink()
    os.mkfifo(folder / "0000.mp4.age")


@pytest.mark.parametrize(
    ("harm", "left"),
    [
        (_altered, ("0000.mp4.age", "digest")),
        (_longer, ("0000.mp4.age", "digest")),
        (_of_another, ("", "not-believed")),
        (_planted, ("0009.mp4.age", "not-believed")),
        (_no_file, None),
    ],
)
def test_what_is_not_what_its_manifest_says_is_left_out_and_the_rest_comes(
    at_base: Base, harm: Callable[[Path, Path], None], left: tuple[str, str] | None
) -> None:
    case, other = at_base.sent(), at_base.sent()
    copy = backed_up(at_base)
    before = contents(at_base.store / "cases")
    folder = film_of(at_base, case, "backup")
    harm(folder, film_of(at_base, other))
    lose(at_base, "cases")
    told = restore(at_base, status=1)
    inside = folder.relative_to(copy).as_posix()
    assert why(told) == ([(f"{inside}/{left[0]}", left[1])] if left else [])
    now = contents(at_base.store / "cases")
    assert now.items() <= before.items()
    lacks = {name for name in before if name not in now}
    assert all(f"cases/{name}".startswith(f"{inside}/") for name in lacks)
    if harm is not _planted:
        assert lacks and told["missing"]


def test_what_is_there_is_never_overwritten(at_base: Base) -> None:
    case = at_base.sent()
    backed_up(at_base)
    film = film_of(at_base, case)
    (film / "0000.mp4.age").unlink()
    (film / "0001.mp4.age").chmod(0o600)
    (film / "0001.mp4.age").write_bytes(b"other")
    restore(at_base, status=1)
    assert (film / "0001.mp4.age").read_bytes() == b"other"
    assert (film / "0000.mp4.age").exists()


def test_a_copy_of_another_service_is_refused(at_base: Base, tmp_path: Path) -> None:
    at_base.sent()
    card = backed_up(at_base) / "service" / "card.json"
    card.chmod(0o600)
    card.write_bytes(card.read_bytes().replace(b"service-", b"service-x"))
    lose(at_base, "cases")
    done = at_base.run("restore", "--from", str(at_base.root / "backup"))
    assert done.returncode and "belongs to other keys" in done.stderr
    assert not (at_base.store / "cases").exists()


def test_the_store_itself_and_any_folder_are_no_copy(at_base: Base, tmp_path: Path) -> None:
    assert "the store itself" in at_base.run("restore", "--from", str(at_base.store)).stderr
    (tmp_path / "empty").mkdir()
    done = at_base.run("restore", "--from", str(tmp_path / "empty"))
    assert "is no copy of a service's store" in done.stderr


def test_a_ledger_that_is_older_than_the_copy_is_not_gone_by(at_base: Base) -> None:
    case = at_base.sent()
    old = shutil.copytree(at_base.keys, at_base.root / "old-keys")
    at_base.kit.withdraw(case)
    at_base.kit.sync()
    at_base.told("serve", "--once")
    backed_up(at_base)
    shutil.rmtree(at_base.keys)
    shutil.copytree(old, at_base.keys)
    (at_base.store / "service" / "ledger").unlink()
    shutil.rmtree(at_base.store / "tombstones")
    done = at_base.run("restore", "--from", str(at_base.root / "backup"))
    assert done.returncode and "was cut short" in done.stderr


class Cut(FolderStore):
    """A copy whose disk fails after so many names of families' files."""

    def list(self, prefix: str) -> Iterator[Entry]:
        for number, entry in enumerate(super().list(prefix)):
            if prefix == "cases/" and number == 10:
                raise SendInterrupted("The disk failed.")
            yield entry


def from_copy(at_base: Base, copy: FolderStore) -> Restorer:
    """What the verb does with a copy, in this process."""
    (card,) = (from_json(path.read_bytes(), KitCard) for path in (at_base.keys / "kits").iterdir())
    keys, people = service(), [practitioner().signer.verifier]
    restorer = Restorer(copy, keys.chain, keys.identities, people, [card])
    with desk(at_base.folder) as at_work:
        ledger = at_work.holds.ledger
        restorer.rest(at_base.folder, at_work, ledger)
        for case, entries in restorer.cases():
            restorer.case(at_base.folder, at_work, ledger, case, entries)
    return restorer


def test_a_copy_that_ends_half_way_gives_what_it_has_and_says_so(at_base: Base) -> None:
    for _ in range(3):
        at_base.sent()
    before = contents(at_base.store / "cases")
    copy = Cut(backed_up(at_base))
    lose(at_base, "cases")
    restorer = from_copy(at_base, copy)
    assert restorer.stopped is not None and restorer.left_out == []
    now = contents(at_base.store / "cases")
    assert now and now.items() < before.items()


@pytest.mark.parametrize("dies_at", [2, 11, 30, 47])
def test_a_run_that_is_killed_is_gone_on_with(at_base: Base, dies_at: int) -> None:
    at_base.sent()
    before = contents(at_base.store / "cases")
    copy = FolderStore(backed_up(at_base))
    lose(at_base, "cases")
    assert in_a_child(lambda: from_copy(at_base, copy), dies_at) == ""
    now = contents(at_base.store / "cases") if (at_base.store / "cases").exists() else {}
    whole = {name: data for name, data in now.items() if "/." not in name}
    assert whole.items() < before.items()
    from_copy(at_base, copy)
    assert contents(at_base.store / "cases") == before


def test_a_key_that_was_sealed_anew_since_comes_back_to_no_old_key(at_base: Base) -> None:
    case = at_base.sent()
    backed_up(at_base)
    (old,) = at_base.identities(case)
    folder = at_base.store / "cases" / case
    (folder / old).rename(folder / f"identity-0001-{service().chain.slug}.age")
    told = restore(at_base)
    assert why(told) == [(f"cases/{case}/{old}", "sealed-anew")]
    assert old not in at_base.identities(case)


@pytest.mark.parametrize("place", ["service", "backup"])
def test_rubbish_that_is_called_as_a_key_sealed_anew_keeps_no_key_away(
    at_base: Base, place: str
) -> None:
    case = at_base.sent()
    backed_up(at_base)
    (old,) = at_base.identities(case)
    (at_base.store / "cases" / case / old).unlink()
    rubbish = at_base.root / place / "cases" / case / f"identity-0009-{service().chain.slug}.age"
    rubbish.write_bytes(b"age-encryption.org/v1\n")
    restore(at_base)
    assert old in at_base.identities(case)


def test_what_kits_and_base_say_themselves_comes_from_no_copy(at_base: Base) -> None:
    case = at_base.sent()
    copy = backed_up(at_base)
    for name in ("tombstones", "revoked", "purged", "audits"):
        (copy / name).mkdir(exist_ok=True)
        (copy / name / case).write_text("something")
    for name in ("shares/abc/clip.mp4.age", f"keep-0001-{at_base.kit.id}"):
        (copy / "cases" / case / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / "cases" / case / name).write_bytes(b"age-encryption.org/v1\n")
    for name in ("films-read", "not-to-be-deleted", "orders/000001"):
        (copy / "kits" / at_base.kit.id / name).parent.mkdir(exist_ok=True)
        (copy / "kits" / at_base.kit.id / name).write_text("something")
    before = of_families(at_base)
    told = restore(at_base)
    assert (told["back"], told["left_out"], of_families(at_base)) == (0, [], before)
