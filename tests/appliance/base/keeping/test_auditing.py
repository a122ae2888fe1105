"""An audit names whatever of a store is not as it should be, and changes nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.age.identities import generate_identity
from appliance.age.sealing import seal
from appliance.base.custody.keys import cards_beside
from appliance.base.keeping.auditing import LOST, Auditor, Finding, lost_of, newest_audit
from appliance.factory_reset import ResetRefusal, judge
from appliance.protocol.audits import NAMED, NAMED_CASES, StoreAudit
from appliance.protocol.cards import KeyRole
from appliance.protocol.objects import audit_object, tombstone_object
from appliance.protocol.orders import Reset
from appliance.protocol.teams import signed_team
from appliance.records.files import new_id, save, to_json
from appliance.records.signing import Signer, open_fact
from appliance.vault.keys import HalfKeys
from tests.support.bases import Base
from tests.support.homes import CLOCK, contents, ledger_of, practitioner, service


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    """A service whose one kit is enrolled, with a family."""
    made = Base(tmp_path)
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    return made


def audit(at_base: Base, *words: str, status: int = 0) -> dict[str, Any]:
    return at_base.told("audit", *words, status=status)


def found(at_base: Base, *words: str) -> list[tuple[str, str]]:
    findings = audit(at_base, *words, status=1)["audit"]["findings"]
    return [(finding["object"], finding["code"]) for finding in findings]


def test_a_store_that_is_whole_is_looked_through_and_nothing_is_changed(at_base: Base) -> None:
    at_base.sent()
    at_base.withdrawn()
    assert at_base.run("serve", "--once").returncode == 0
    before = contents(at_base.root)
    told = audit(at_base, "--sample", "100", "--dry-run")
    assert (told["ok"], told["audit"]["findings"], told["waiting"]) == (True, [], [])
    assert told["audit"]["films"] == 2 and told["audit"]["read"] == 2 * FILES
    assert audit(at_base, "--dry-run")["audit"]["read"] == 0
    assert contents(at_base.root) == before


def test_a_reason_without_its_hold_belongs_to_nothing(at_base: Base) -> None:
    case = at_base.sent()
    day = f"{CLOCK.read().wall.year + 1}-01-01"
    words = ("hold", case, "--until", day, "--role", "lead")
    assert at_base.run(*words, said="an enquiry\n").returncode == 0
    assert audit(at_base)["audit"]["findings"] == []
    planted(alone := at_base.store / "holds" / case / f"why-{'0' * 16}.age")
    assert found(at_base) == [(alone.relative_to(at_base.store).as_posix(), "orphan")]


FILES = 4
"""Segments and indexes of a film."""


def lost(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])


def altered(path: Path) -> None:
    path.chmod(0o600)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def planted(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"age-encryption.org/v1\n")


def another_key(path: Path) -> None:
    """Sealed to the service, as whoever has its card can do it."""
    path.unlink(missing_ok=True)
    path.write_bytes(seal(OTHER.encode(), service().chain.recipients()))


def rubbish_inside(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(seal(b"\xff rubbish", service().chain.recipients()))


OTHER = generate_identity().secret_text()
FAULTS = [
    ("recordings/FILM/0000.mp4.age", lost, "missing"),
    ("recordings/FILM/0001.index.age", cut, "size"),
    ("recordings/FILM/0000.index.age", altered, "content"),
    ("recordings/FILM/manifest", altered, "manifest"),
    ("recordings/FILM/manifest", lost, "no-manifest"),
    ("identity-0001.age", lost, "key"),
    ("identity-0001.age", altered, "key"),
    ("identity-0001.age", another_key, "key"),
    ("identity-0001.age", rubbish_inside, "key"),
    ("recordings/FILM/0009.mp4.age", planted, "orphan"),
    ("recordings/FILM/0000x/inside", planted, "orphan"),
    ("documents/deep/inside.age", planted, "orphan"),
]


@pytest.mark.parametrize(("file", "fault", "code"), FAULTS)
def test_what_is_lost_or_altered_is_named(
    at_base: Base, file: str, fault: Callable[[Path], None], code: str
) -> None:
    case = at_base.sent()
    (film,) = (path.name for path in at_base.kit.home.recordings.iterdir())
    path = at_base.store / "cases" / case / file.replace("FILM", film)
    fault(path)
    ((name, told),) = found(at_base, "--sample", "100")
    assert told == code
    assert path.is_relative_to(at_base.store / name)


@pytest.mark.parametrize(
    ("file", "fault"), [fault[:2] for fault in FAULTS if fault[2] in LOST - {"content"}]
)
def test_a_kit_that_is_ordered_to_be_set_back_reads_of_each_loss_whose_it_is(
    at_base: Base, file: str, fault: Callable[[Path], None]
) -> None:
    case = at_base.sent()
    (film,) = (path.name for path in at_base.kit.home.recordings.iterdir())
    fault(at_base.store / "cases" / case / file.replace("FILM", film))
    assert carried(at_base) is ResetRefusal.LOST_THERE


def test_a_film_that_lies_in_anothers_place_is_none(at_base: Base) -> None:
    case = at_base.sent()
    (first,) = (at_base.store / "cases" / case / "recordings").iterdir()
    second = first.with_name(at_base.kit.film(case))
    at_base.kit.sync()
    shutil.rmtree(second)
    shutil.copytree(first, second)
    name = f"{second.relative_to(at_base.store).as_posix()}/manifest"
    assert found(at_base, "--sample", "100") == [(name, "manifest")]


def test_each_key_that_a_film_of_the_case_is_sealed_to_must_be_there(at_base: Base) -> None:
    """Another home of the case has sent a key of its own, and no film yet."""
    case = at_base.sent()
    key = at_base.store / "cases" / case / "identity-0001.age"
    another_key(key.with_name("identity-0009.age"))
    assert audit(at_base)["ok"]
    key.unlink()
    assert found(at_base) == [(f"cases/{case}", "key")]


def test_a_key_that_came_back_and_an_answer_that_is_another_are_named(at_base: Base) -> None:
    case, _ = at_base.withdrawn()
    other, _ = at_base.withdrawn()
    assert at_base.run("serve", "--once").returncode == 0
    planted = at_base.store / tombstone_object(at_base.kit.case().id)
    planted.write_bytes(b"forged")
    assert (tombstone_object(planted.name), "answer") in found(at_base)
    assert at_base.identities(case) == at_base.identities(other) == []


def test_what_waits_to_be_done_is_told(at_base: Base) -> None:
    case, order = at_base.withdrawn()
    told = audit(at_base, status=1)
    assert [outcome["order"] for outcome in told["waiting"]] == [order]
    assert at_base.identities(case)
    done = at_base.run("audit")
    assert f"Not done yet: Case {case} is withdrawn." in done.stderr


def test_films_of_a_kit_that_is_not_enrolled_are_not_believed(at_base: Base) -> None:
    at_base.sent()
    (at_base.keys / "kits" / f"{at_base.kit.id}.pub").unlink()
    assert [code for _, code in found(at_base)] == ["manifest"]


def signed(at_base: Base, number: int) -> StoreAudit:
    note = (at_base.store / audit_object(number)).read_bytes()
    return open_fact(note, [service().signer.verifier], StoreAudit)[0]


def test_what_an_audit_found_is_signed_and_each_has_the_next_number(at_base: Base) -> None:
    case = at_base.sent()
    assert audit(at_base)["signed"] == 1
    whole = signed(at_base, 1)
    assert (whole.cases, whole.films, whole.found, whole.lost, whole.more) == (1, 1, {}, (), 0)
    assert whole.opened and whole.objects == len(contents(at_base.store)) - 2
    (segment,) = (at_base.store / "cases" / case).glob("recordings/*/0001.mp4.age")
    segment.unlink()
    at_base.withdrawn()
    assert audit(at_base, status=1)["signed"] == 2
    broken = signed(at_base, 2)
    assert broken.found == {"missing": 1} and broken.waiting == 1
    assert broken.lost == (segment.relative_to(at_base.store).as_posix(),)


def test_what_a_kit_puts_among_the_audits_is_none_and_takes_no_number(at_base: Base) -> None:
    forger = Signer.generate("service-" + "a" * 16)
    audit(at_base)
    text = (at_base.store / audit_object(1)).read_text().partition("\n\n")[0] + "\n"
    (at_base.store / audit_object(2)).write_text(forger.sign(text))
    (at_base.store / audit_object(9)).mkdir()
    assert audit(at_base)["signed"] == 2
    newest = newest_audit(at_base.folder, service().chain)
    assert newest is not None and newest.number == 2


def looked_through(at_base: Base) -> list[Finding]:
    """By a machine that has nothing that opens."""
    signers = [at_base.kit.signer.verifier, practitioner().signer.verifier]
    with ledger_of(at_base.folder) as ledger:
        return list(Auditor(at_base.folder, [], signers, ledger).listed())


def test_without_an_opening_key_a_case_needs_a_key_that_is_sealed_to_somebody(
    at_base: Base,
) -> None:
    case = at_base.sent()
    assert looked_through(at_base) == []
    key = at_base.store / "cases" / case / "identity-0001.age"
    key.chmod(0o600)
    key.write_bytes(b"age-encryption.org/v1\n--- and nobody\n-> X25519 \n")
    assert looked_through(at_base) == [Finding(f"cases/{case}", "key")]


def keygen(folder: Path, name: str, role: KeyRole) -> Path:
    keys = HalfKeys.generate(role)
    save(folder / f"{name}.key", keys.text().encode(), mode=0o600)
    save(folder / f"{name}.key.pub", to_json(keys.card()))
    return folder / f"{name}.key.pub"


def test_each_key_of_a_case_is_sealed_to_all_that_open_once_a_card_names_two(
    at_base: Base,
) -> None:
    case = at_base.sent()
    assert audit(at_base)["ok"], "a service of one card has one"
    signing = keygen(at_base.keys, "signing", "signing")
    daily = keygen(at_base.keys, "daily", "opening")
    root, escrow = keygen(at_base.root, "root", "root"), keygen(at_base.root, "escrow", "opening")
    at_base.told(
        *("card", "--next", "--root", str(root)),
        *("--signing", str(signing), "--until", "2099-12-31"),
        *("--opening", str(daily), "--opening", str(escrow)),
    )
    name = f"cases/{case}/identity-0001.age"
    assert found(at_base) == [(name, "recipients")]
    assert "recipients" not in LOST, "it is there, and opens"
    done = at_base.run("audit")
    assert f"{name} is sealed to fewer keys" in done.stderr and "reseal" in done.stderr
    at_base.told("reseal")
    assert audit(at_base)["ok"]
    # Beside the store nothing opens, and what a kit that had not heard of the card sends is seen.
    chain = cards_beside(at_base.keys)
    planted = at_base.store / name
    planted.write_bytes(seal(OTHER.encode(), service().chain.recipients(practitioner().card())))
    with ledger_of(at_base.folder) as ledger:
        auditor = Auditor(at_base.folder, [], [at_base.kit.signer.verifier], ledger, service=chain)
        assert list(auditor.listed()) == [Finding(name, "recipients")]


def bogus(at_base: Base, number: int) -> str:
    """What whoever has a kit's way in can make that looks like a case, of several kinds."""
    case = new_id()
    place = at_base.store / "cases" / case
    film = place / "recordings" / new_id()
    name, note = signed_team(Signer.generate("practitioner-x"), case, 1, ["practitioner-x"])
    kinds: list[dict[Path, bytes]] = [
        {place / "documents" / "team-0001.age": b"age-encryption.org/v1\n"},
        {film / "manifest": b"{}\n", film / "0000.mp4.age": b""},
        {film / "0000.mp4.age": b""},
        {place / "identity-0001.age": b"rubbish", place / name: note},
    ]
    copied = next((at_base.store / "cases").glob("*/team-*-*"), None)
    if copied is not None:
        kinds.append({place / copied.name: copied.read_bytes()})
    for path, data in kinds[number % len(kinds)].items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return f"cases/{case}"


def carried(at_base: Base) -> object:
    """What the kit says to the order to set it back that somebody carries to it."""
    at_base.told("reset", at_base.kit.id)
    note = (at_base.keys / f"reset-{at_base.kit.id}.order").read_text()
    kit, now = at_base.kit, CLOCK.read().wall
    return judge(note, kit.id, service().chain, kit.home, now)


def test_however_many_folders_a_stranger_makes_a_reset_goes_by_what_was_really_lost(
    at_base: Base,
) -> None:
    case = at_base.sent()
    made = {bogus(at_base, number) for number in range(NAMED + 2)}
    assert set(found(at_base)) == {(folder, "stray") for folder in made}
    assert (signed(at_base, 1).more, set(signed(at_base, 1).lost) <= made) == (0, True)
    assert isinstance(carried(at_base), Reset)
    (segment,) = (at_base.store / "cases" / case).glob("recordings/*/0001.mp4.age")
    kept = segment.read_bytes()
    segment.unlink()
    assert carried(at_base) is ResetRefusal.LOST_THERE
    segment.write_bytes(kept)
    assert isinstance(carried(at_base), Reset)
    for key in (at_base.store / "cases" / case).glob("identity-*"):
        key.unlink()
    assert carried(at_base) is ResetRefusal.LOST_THERE


def test_of_much_that_is_lost_each_case_is_named_and_then_nothing_is_left_out() -> None:
    own = new_id()
    many = [
        Finding(f"cases/{new_id()}/recordings/{new_id()}/", "no-manifest") for _ in range(NAMED)
    ]
    last = Finding(f"cases/{own}/recordings/{new_id()}/0000.mp4.age", "missing")
    strays = [Finding(f"cases/{new_id()}", "stray") for _ in range(2 * NAMED_CASES)]
    assert lost_of([*strays, *many])[0] == tuple(one.object for one in many)
    lost, more = lost_of([*strays, *many, last])
    assert f"cases/{own}" in lost and more == 0 and len(lost) == NAMED_CASES
    assert lost_of([last, *strays])[0][0] == last.object, "what was lost comes first"
    others = [Finding(f"cases/{new_id()}", "key") for _ in range(NAMED_CASES)]
    assert lost_of([*others, last])[1] == 1, "nobody can say whose it is"
    assert "stray" not in LOST


def test_a_kit_that_gets_its_order_by_hand_goes_by_the_films_that_were_seen(
    at_base: Base,
) -> None:
    """A film that is gone with its manifest is missed by no audit."""
    case = at_base.sent()
    at_base.kit.film(case)
    at_base.kit.sync()
    assert isinstance(carried(at_base), Reset)
    shutil.rmtree(next((at_base.store / "cases" / case / "recordings").iterdir()))
    assert audit(at_base)["ok"]
    assert carried(at_base) is ResetRefusal.NOT_SEEN


def test_a_film_that_was_taken_back_and_lies_there_again_is_named(at_base: Base) -> None:
    case = at_base.sent()
    (film,) = (at_base.store / "cases" / case / "recordings").iterdir()
    kept = contents(film)
    order = at_base.told("withdraw", case, "--film", film.name, "--kit", at_base.kit.id)
    assert order["outcome"]["state"] == "done" and not film.exists()
    film.mkdir()
    for name, data in kept.items():
        (film / name).write_bytes(data)
    name = film.relative_to(at_base.store).as_posix()
    assert looked_through(at_base) == [Finding(f"{name}/", "film-left")]
