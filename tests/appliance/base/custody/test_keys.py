"""A service whose keys are kept apart: what signs beside its store, and what opens elsewhere."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.base.custody.keys import ServiceKeys, cards_beside
from appliance.base.custody.next import Change, next_card
from appliance.base.service import Service
from appliance.errors import BadInput, NoMatch
from appliance.protocol.objects import service_card_object, tombstone_object
from appliance.protocol.orders import Tombstone, Withdrawal
from appliance.records.clock import SystemClock
from appliance.records.files import new_id, save, to_json
from appliance.vault.keys import HalfKeys, PrivateKeys
from tests.support.bases import Base
from tests.support.clocks import NOON, FakeClock
from tests.support.homes import practitioner, service

HALVES = ("root", "signing", "daily", "escrow")


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def keygen(folder: Path, name: str, role: str) -> Path:
    """What `attune keygen` makes, without its process."""
    folder.mkdir(exist_ok=True)
    keys = HalfKeys.generate(role)  # type: ignore[arg-type]
    save(folder / f"{name}.key", keys.text().encode(), mode=0o600)
    save(folder / f"{name}.key.pub", to_json(keys.card()))
    return folder / f"{name}.key.pub"


def kept_apart(at_base: Base, until: str = "2099-12-31") -> Path:
    """The service's keys are kept apart from now on: what is beside the store only signs. Returns
    the folder of everything else."""
    away = at_base.root / "away"
    pubs = {
        name: str(keygen(away, name, name if name in ("root", "signing") else "opening"))
        for name in HALVES
    }
    made = at_base.told(
        *("card", "--next", "--root", pubs["root"], "--signing", pubs["signing"]),
        *("--until", until, "--opening", pubs["daily"], "--opening", pubs["escrow"]),
    )["made"]
    assert Path(made).name == "0002"
    (away / "signing.key").rename(at_base.keys / "signing.key")
    (at_base.keys / "service.key").rename(away / "service.key")
    shown = at_base.told("card")
    assert shown["number"] == 2
    return away


def test_a_base_that_only_signs_carries_out_what_families_ask_for(at_base: Base) -> None:
    case = at_base.sent()
    kept_apart(at_base)
    at_base.told("withdraw", case)
    assert at_base.identities(case) == []
    note = (at_base.store / tombstone_object(case)).read_text()
    chain = cards_beside(at_base.keys)
    assert chain is not None and chain.word(note, Tombstone).case == case


def test_a_kit_believes_it_by_the_new_card_and_its_new_cases_open_with_the_new_keys(
    at_base: Base,
) -> None:
    case = at_base.sent()
    away = kept_apart(at_base)
    at_base.told("withdraw", case)
    status = at_base.kit.sync()
    assert status.problems == () and status.state == "sent"
    assert (at_base.store / service_card_object(2)).exists()
    assert sorted(path.name for path in away.glob("*.key")) == [
        "daily.key", "escrow.key", "root.key", "service.key",
    ]  # fmt: skip


def test_what_needs_the_opening_key_says_that_it_is_not_here(at_base: Base) -> None:
    case = at_base.sent()
    kept_apart(at_base)
    new = PrivateKeys.generate("practitioner")
    card = at_base.root / "new.pub"
    card.write_bytes(to_json(new.card()))
    answer = at_base.told("let-in", str(card), "--case", case)
    assert "do not open it" in answer["cases"][0]["why"]


def test_a_store_that_lost_a_card_gets_it_back(at_base: Base) -> None:
    kept_apart(at_base)
    where = at_base.store / service_card_object(2)
    note = where.read_bytes()
    where.unlink()
    at_base.told("serve", "--once")
    assert where.read_bytes() == note


@pytest.mark.parametrize("longer", [0, 1])
def test_what_somebody_put_under_a_cards_name_makes_way(at_base: Base, longer: int) -> None:
    kept_apart(at_base)
    where = at_base.store / service_card_object(2)
    note = where.read_bytes()
    where.write_bytes(b"x" * (len(note) + longer))
    at_base.told("serve", "--once")
    assert where.read_bytes() == note


def test_a_base_that_stays_puts_back_a_card_that_was_lost_meanwhile(at_base: Base) -> None:
    kept_apart(at_base)
    where = at_base.store / service_card_object(2)
    note = where.read_bytes()
    service = Service(str(at_base.store), at_base.keys, stays=True)
    for spoilt in (None, b"", note + b"x"):
        with service.at_work():
            assert where.read_bytes() == note
        where.unlink()
        if spoilt is not None:
            where.write_bytes(spoilt)
    with service.at_work():
        assert where.read_bytes() == note


def test_a_store_that_lost_a_card_before_its_newest_gets_it_back(at_base: Base) -> None:
    away = kept_apart(at_base)
    pub = keygen(away, "next", "signing")
    (away / "root.key").rename(at_base.keys / "root.key")
    at_base.told("card", "--next", "--signing", str(pub), "--until", "2099-12-31")
    at_base.told("card")
    lost = at_base.store / service_card_object(2)
    note = lost.read_bytes()
    lost.unlink()
    assert at_base.told("card")["put"] == ["0002"]
    assert lost.read_bytes() == note


def test_a_folder_of_keys_that_is_older_than_the_store_takes_up_its_card(at_base: Base) -> None:
    kept_apart(at_base)
    note = (at_base.keys / "cards" / "0002").read_bytes()
    (at_base.keys / "cards" / "0002").unlink()
    (at_base.root / "away" / "service.key").rename(at_base.keys / "service.key")
    assert at_base.told("card")["number"] == 2
    assert (at_base.keys / "cards" / "0002").read_bytes() == note


def test_keys_without_their_cards_are_told_what_is_missing(at_base: Base) -> None:
    kept_apart(at_base)
    (at_base.keys / "cards").rename(at_base.root / "cards")
    done = at_base.run("serve", "--once")
    assert done.returncode == 1 and "Copy cards/ from where" in done.stderr


def test_no_card_can_be_made_where_the_root_is_not(at_base: Base) -> None:
    kept_apart(at_base)
    done = at_base.run("card", "--next")
    assert done.returncode == 1 and "No root of this service is here" in done.stderr


def test_a_card_that_was_made_elsewhere_is_taken(at_base: Base) -> None:
    away = kept_apart(at_base)
    (away / "cards").mkdir()
    for path in (at_base.keys / "cards").iterdir():
        (away / "cards" / path.name).write_bytes(path.read_bytes())
    there = Base.__new__(Base)
    there.__dict__ |= {**at_base.__dict__, "keys": away}
    made = there.told("card", "--next")["made"]
    assert at_base.told("card", "--take", made)["number"] == 3
    assert (at_base.store / service_card_object(3)).exists()


def test_a_signing_key_that_ends_within_a_month_is_told(at_base: Base) -> None:
    at_base.told("enrol", str(at_base.kit.home.kit / "kit.json"))
    soon = SystemClock().read().wall + timedelta(days=20)
    kept_apart(at_base, until=f"{soon:%Y-%m-%d}")
    told = at_base.told("status", status=1)["findings"]
    assert any("signing key ends on" in finding["what"] for finding in told)


def test_a_folder_of_keys_from_before_the_second_card_does_nothing(at_base: Base) -> None:
    case = at_base.sent()
    away = kept_apart(at_base)
    shutil.rmtree(at_base.keys / "cards")
    (at_base.keys / "signing.key").rename(away / "signing.key")
    (away / "service.key").rename(at_base.keys / "service.key")
    at_base.place(
        Withdrawal(id=new_id(), case=case, kit="", at=SystemClock().read().wall), service()
    )
    for words in (
        ["serve", "--once"], ["withdraw", case], ["card"], ["export", case, "-o", "out"],
        ["withdraw", case, "--dry-run"], ["serve", "--dry-run"], ["reseal", "--dry-run"],
        ["audit", "--dry-run"], ["export", case, "-o", "out", "--dry-run"], ["kits"],
        ["revoke", practitioner().card().name, "--dry-run"],
    ):  # fmt: skip
        done = at_base.run(*words)
        assert done.returncode == 1 and "newer card" in done.stderr
    assert at_base.identities(case)
    # What anybody could put there is no card.
    (at_base.store / service_card_object(2)).write_text("{}")
    at_base.told("withdraw", case)
    assert at_base.identities(case) == []


# --- By the day ---------------------------------------------------------------------------------


def card_of(
    *signing: HalfKeys, until: timedelta = timedelta(days=90), **more: object
) -> ServiceKeys:
    opening = [HalfKeys.generate("opening").card().key for _ in range(2)]
    change = Change(
        signing=[one.card().key for one in signing],
        until=NOON + until,
        opening=opening,
        **more,  # type: ignore[arg-type]
    )
    note = next_card(service(), change, NOON)
    return ServiceKeys(service().chain.followed_by(note), [service(), *signing], FakeClock())


def test_a_signing_key_signs_until_its_end_and_then_says_so() -> None:
    half = HalfKeys.generate("signing")
    assert card_of(half).signer.verifier == half.signer.verifier  # type: ignore[union-attr]
    with pytest.raises(NoMatch, match="has ended"):
        _ = card_of(half, until=timedelta(0)).signer


def test_the_first_key_signs_no_more_once_another_does_and_what_it_signed_stays() -> None:
    keys = card_of(HalfKeys.generate("signing"))
    assert keys.chain.signing[service().signer.verifier] == NOON


def test_a_stolen_key_is_left_out() -> None:
    keys = card_of(HalfKeys.generate("signing"), without=[service().signer.verifier.name])
    assert service().signer.verifier not in keys.chain.signing


def test_what_no_key_is_called_is_refused() -> None:
    with pytest.raises(BadInput, match="No key service-x"):
        card_of(HalfKeys.generate("signing"), without=["service-x"])
