"""After a new card: what a stolen key signed is signed anew, each case's key is sealed anew."""

from pathlib import Path

import pytest

from appliance.age.unsealing import unseal
from appliance.base.cases import newest_key
from appliance.base.custody.anew import reseal
from appliance.base.custody.keys import ServiceKeys, cards_beside
from appliance.errors import NoMatch, SendInterrupted
from appliance.protocol.enrolment import Revocation
from appliance.protocol.objects import revocation_object, tombstone_object
from appliance.protocol.orders import Tombstone
from appliance.records.clock import SystemClock
from appliance.stores.folder import FolderStore
from appliance.vault.keys import HalfKeys, read_keys
from tests.appliance.base.custody.test_keys import kept_apart, keygen
from tests.support.bases import Base
from tests.support.homes import practitioner, service


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
                raise SendInterrupted("The line broke off.")
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
