"""After a new card: what a stolen key signed is signed anew, each case's key is sealed anew."""

from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from appliance.age.identities import generate_identity, parse_identity
from appliance.age.sealing import seal
from appliance.age.unsealing import unseal
from appliance.base.cases import newest_key
from appliance.base.custody.anew import reseal, sign_anew
from appliance.base.custody.keys import ServiceKeys, cards_beside
from appliance.base.keeping.retention import purge_again
from appliance.base.ledger import Ledger
from appliance.base.people import recover
from appliance.errors import NoMatch, SendInterrupted
from appliance.protocol.enrolment import Revocation
from appliance.protocol.objects import revocation_object, tombstone_object
from appliance.protocol.orders import Tombstone
from appliance.protocol.retention import Purged, purged_object
from appliance.records.clock import SystemClock
from appliance.records.files import new_id
from appliance.records.signing import sign_fact
from appliance.stores.folder import FolderStore
from appliance.stores.store import Put
from appliance.vault.cases import open_case_identities
from appliance.vault.keys import HalfKeys, PrivateKeys, read_keys
from tests.appliance.base.custody.test_keys import card_of, kept_apart, keygen
from tests.support.bases import Base
from tests.support.homes import CLOCK, practitioner, service


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def opening(at_base: Base) -> ServiceKeys:
    """What somebody has who may open: the first key, and those of the second card."""
    chain = cards_beside(at_base.keys)
    assert chain is not None
    halves = [
        read_keys((at_base.root / "away" / f"{name}.key").read_bytes(), lambda: "")
        for name in ("daily", "escrow")
    ]
    return ServiceKeys(chain, [service(), *halves], SystemClock())


def key_of(at_base: Base, case: str) -> bytes:
    found = newest_key(FolderStore(at_base.store), opening(at_base), case)
    assert found is not None
    return found[1]


# --- Sealed anew ----------------------------------------------------------------------------------


def test_every_case_is_sealed_to_the_new_keys_and_the_old_one_opens_nothing(at_base: Base) -> None:
    cases = [at_base.sent(), at_base.sent()]
    before = {case: key_of_old(at_base, case) for case in cases}
    away = kept_apart(at_base)
    for name in ("service", "daily"):
        (away / f"{name}.key").rename(at_base.keys / f"{name}.key")
    told = at_base.told("reseal")["cases"]
    assert sorted(one["case"] for one in told) == sorted(cases)
    (at_base.keys / "daily.key").rename(away / "daily.key")
    for case in cases:
        (name,) = at_base.identities(case)
        assert name not in told[0]["removed"] and name.startswith("identity-0001-")
        sealed = (at_base.store / "cases" / case / name).read_bytes()
        for half in ("daily", "escrow"):
            keys = read_keys((away / f"{half}.key").read_bytes(), lambda: "")
            assert isinstance(keys, HalfKeys) and keys.identity is not None
            assert unseal(sealed, [keys.identity]) == before[case]
        with pytest.raises(NoMatch):
            unseal(sealed, [service().identity])


def key_of_old(at_base: Base, case: str) -> bytes:
    found = newest_key(FolderStore(at_base.store), service(), case)
    assert found is not None
    return found[1]


def test_it_may_be_cut_short_and_run_again(at_base: Base) -> None:
    case = at_base.sent()
    kept_apart(at_base)
    keys = opening(at_base)

    class Cut(FolderStore):
        def purge(self, name: str) -> tuple[str, ...]:
            if name.endswith("identity-0001.age"):
                raise SendInterrupted("The connection was lost.")
            return super().purge(name)

    with pytest.raises(SendInterrupted):
        reseal(Cut(at_base.store), keys, case)
    assert len(at_base.identities(case)) == 2
    store = FolderStore(at_base.store)
    done = reseal(store, keys, case)
    assert done.key == "" and done.removed == (f"cases/{case}/identity-0001.age",)
    assert reseal(store, keys, case) == reseal(store, keys, case)
    assert len(at_base.identities(case)) == 1


def test_nothing_is_taken_away_for_a_key_that_the_store_does_not_give_back(at_base: Base) -> None:
    case = at_base.sent()
    kept_apart(at_base)

    class Forgets(FolderStore):
        def create(self, name, data):  # type: ignore[no-untyped-def]
            done = super().create(name, data)
            self.purge(name)
            return done

    with pytest.raises(SendInterrupted, match="does not give back"):
        reseal(Forgets(at_base.store), opening(at_base), case)
    assert at_base.identities(case) == ["identity-0001.age"]


def test_what_no_key_here_opens_is_left_alone_and_told(at_base: Base) -> None:
    case = at_base.sent()
    kept_apart(at_base)
    (told,) = at_base.told("reseal", status=1)["cases"]
    assert told["case"] == case and told["why"]
    assert at_base.identities(case) == ["identity-0001.age"]


def test_what_would_go_is_named_and_nothing_is_changed(at_base: Base) -> None:
    case = at_base.sent()
    away = kept_apart(at_base)
    for name in ("service", "daily"):
        (away / f"{name}.key").rename(at_base.keys / f"{name}.key")
    (told,) = at_base.told("reseal", "--dry-run")["cases"]
    assert told["removed"] == [f"cases/{case}/identity-0001.age"]
    assert at_base.identities(case) == ["identity-0001.age"]


# --- Signed anew ----------------------------------------------------------------------------------


def test_what_a_stolen_key_had_signed_is_signed_anew_and_every_kit_goes_on_believing_it(
    at_base: Base,
) -> None:
    case, _order = at_base.withdrawn()
    at_base.told("serve", "--once")
    name = practitioner().card().name
    at_base.told("revoke", name)
    first = (at_base.store / tombstone_object(case)).read_bytes()
    pubs = {
        one: str(keygen(at_base.keys, one, role))
        for one, role in (("signing", "signing"), ("daily", "opening"), ("escrow", "opening"))
    }
    at_base.told(
        *("card", "--next", "--signing", pubs["signing"], "--until", "2099-12-31"),
        *("--opening", pubs["daily"], "--opening", pubs["escrow"]),
        *("--without", service().card().name),
    )
    at_base.told("serve", "--once")
    chain = cards_beside(at_base.keys)
    assert chain is not None and service().signer.verifier not in chain.signing
    anew = (at_base.store / tombstone_object(case)).read_bytes()
    assert anew != first and chain.word(anew, Tombstone).case == case
    revoked = (at_base.store / revocation_object(name)).read_bytes()
    assert chain.word(revoked, Revocation).practitioner == name
    status = at_base.kit.sync()
    assert status.problems == () and status.state == "sent"
    at_base.told("serve", "--once")
    assert (at_base.store / tombstone_object(case)).read_bytes() == anew


def test_what_it_had_signed_of_a_case_of_which_all_is_gone_is_signed_anew_too(
    at_base: Base,
) -> None:
    store, gone = (
        FolderStore(at_base.store),
        Purged(case=new_id(), at=CLOCK.read().wall, objects=1, bytes=1, why="withdrawn"),
    )
    note = sign_fact(service().signer, gone)
    keys = card_of(HalfKeys.generate("signing"), without=[service().card().name])
    ledger = Ledger(at_base.keys, keys.signer, CLOCK, service=keys.chain)
    with ledger.at_work():
        ledger.write("emptied", gone.case, note=note)
        assert sign_anew(ledger, keys) == 1
        purge_again(store, ledger)
    anew = (at_base.store / purged_object(gone.case)).read_bytes()
    assert keys.chain.word(anew, Purged) == gone


# --- Never a moment without a copy ----------------------------------------------------------------


class CutAt(FolderStore):
    """Its line breaks off before the so-manieth thing that changes the store."""

    def __init__(self, root: Path, step: int) -> None:
        super().__init__(root)
        self.left = step

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise SendInterrupted("The connection was lost.")

    def create(self, name: str, source: IO[bytes]) -> Put:
        self._step()
        return super().create(name, source)

    def purge(self, prefix: str) -> tuple[str, ...]:
        self._step()
        return super().purge(prefix)


def sealed_to_the_first_key(at_base: Base, case: str, content: bytes, name: str) -> None:
    """What a kit sends that has not heard of the new card."""
    path = at_base.store / "cases" / case / name
    path.write_bytes(seal(content, service().chain.recipients()))


def keys_that_open(at_base: Base, case: str) -> set[str]:
    return set(key_of(at_base, case).decode().split())


def test_wherever_it_is_cut_the_store_has_every_key_of_the_case(at_base: Base) -> None:
    case = at_base.sent()
    kept_apart(at_base)
    keys, store = opening(at_base), FolderStore(at_base.store)
    reseal(store, keys, case)
    late = generate_identity().secret_text()
    sealed_to_the_first_key(at_base, case, f"{late}\n".encode(), "identity-0001.age")
    both = keys_that_open(at_base, case)
    assert len(both) == 2
    folder = at_base.store / "cases" / case
    before = {path.name: path.read_bytes() for path in folder.glob("identity-*")}
    for step in range(20):
        for path in folder.glob("identity-*"):
            path.unlink()
        for name, data in before.items():
            (folder / name).write_bytes(data)
        with suppress(SendInterrupted):
            reseal(CutAt(at_base.store, step), keys, case)
            break
        assert keys_that_open(at_base, case) == both, step
        reseal(store, keys, case)
        assert keys_that_open(at_base, case) == both, step
        assert "identity-0001.age" not in at_base.identities(case)
    assert 3 < step < 19
    assert keys_that_open(at_base, case) == both and len(at_base.identities(case)) == 1


def test_a_key_that_nobody_here_opens_is_put_aside_not_over(at_base: Base) -> None:
    case = at_base.sent()
    kept_apart(at_base)
    keys = opening(at_base)
    reseal(FolderStore(at_base.store), keys, case)
    first = keys_that_open(at_base, case)
    late = generate_identity().secret_text()
    sealed_to_the_first_key(at_base, case, f"{late}\n".encode(), "identity-0001.age")
    # Only the first key is at hand: it opens what came late, and not what was sealed anew.
    old = ServiceKeys(keys.chain, [service()], SystemClock())
    reseal(FolderStore(at_base.store), old, case)
    assert keys_that_open(at_base, case) == first | {late}


def test_wherever_letting_somebody_in_again_is_cut_the_store_has_the_key(at_base: Base) -> None:
    case = at_base.sent()
    store, new = FolderStore(at_base.store), PrivateKeys.generate("practitioner")
    ledger = Ledger(at_base.keys, service().signer, CLOCK)
    folder = at_base.store / "cases" / case

    def let_in(store: FolderStore) -> None:
        with ledger.at_work():
            recover(store, service(), new.card(), [case], "", CLOCK, ledger)

    let_in(store)
    (folder / "identity-0001.age").unlink()
    (only,) = at_base.identities(case)
    key, before = key_of_old(at_base, case), (folder / only).read_bytes()
    for step in range(20):
        for path in folder.glob("identity-*"):
            path.unlink()
        (folder / only).write_bytes(before)
        with suppress(SendInterrupted):
            let_in(CutAt(at_base.store, step))
            break
        assert key_of_old(at_base, case) == key, step
    assert 2 < step < 19
    assert at_base.identities(case) == [only] and (folder / only).read_bytes() != before
    with ledger.at_work():
        assert f"{case}/{new.card().name}" in ledger.of("let-in")


def test_who_is_let_in_is_written_down_before_they_are(at_base: Base) -> None:
    case, new = at_base.sent(), PrivateKeys.generate("practitioner")
    ledger = Ledger(at_base.keys, service().signer, CLOCK)
    with ledger.at_work(), pytest.raises(SendInterrupted):
        recover(CutAt(at_base.store, 0), service(), new.card(), [case], "", CLOCK, ledger)
    with ledger.at_work():
        assert f"{case}/{new.card().name}" in ledger.of("let-in")


# --- Rubbish beside a case's key ------------------------------------------------------------------


@pytest.mark.parametrize("rubbish", [b"AGE-SECRET-KEY-1GARBAGE\n", b"junk", b"\xff\xfe"])
def test_a_line_that_is_no_key_goes_into_no_key_file(at_base: Base, rubbish: bytes) -> None:
    case = at_base.sent()
    real = key_of_old(at_base, case)
    name = f"identity-0002-{new_id()}.age"
    sealed_to_the_first_key(at_base, case, rubbish, name)
    assert newest_key(FolderStore(at_base.store), service(), case) == (1, real)
    kept_apart(at_base)
    done = reseal(FolderStore(at_base.store), opening(at_base), case)
    assert key_of(at_base, case) == real and parse_identity(real.decode().strip())
    sealed = (at_base.store / done.key).read_bytes()
    assert unseal(sealed, opening(at_base).identities) == real
    assert open_case_identities(at_base.store / "cases" / case, opening(at_base).identities)
    # Nobody knows what it was: it stays, and nothing is done twice for it.
    assert name in at_base.identities(case)
    assert reseal(FolderStore(at_base.store), opening(at_base), case).key == ""


@pytest.mark.parametrize("many", [800, 60])
def test_rubbish_in_one_case_keeps_no_other_from_being_sealed_anew(
    at_base: Base, many: int
) -> None:
    bad, good = sorted([at_base.sent(), at_base.sent()])
    real = key_of_old(at_base, bad)
    for _ in range(5):
        text = "".join(f"{generate_identity().secret_text()}\n" for _ in range(many))
        sealed_to_the_first_key(at_base, bad, text.encode(), f"identity-0002-{new_id()}.age")
    away = kept_apart(at_base)
    for name in ("service", "daily"):
        (away / f"{name}.key").rename(at_base.keys / f"{name}.key")
    told = {one["case"]: one for one in at_base.told("reseal", status=int(many == 60))["cases"]}
    assert told[good]["key"] and not told[good]["why"]
    (at_base.keys / "daily.key").rename(away / "daily.key")
    if many == 60:
        assert told[bad]["why"] and "identity-0001.age" in at_base.identities(bad)
    else:
        assert key_of(at_base, bad) == real
