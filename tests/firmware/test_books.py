"""What the recorder remembers from one day to the next, and what it will not go on without."""

from pathlib import Path

import msgspec
import pytest

from appliance.errors import BadFile
from appliance.records.files import Home, new_id
from firmware.books import _REMEMBERED, KitBooks
from tests.support.fakes import Stage


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tmp_path / "run")


def test_a_kit_is_the_same_kit_after_each_start(home: Home) -> None:
    first, again = KitBooks(home), KitBooks(home)
    assert (again.kit, str(again.signer.verifier)) == (first.kit, str(first.signer.verifier))


def test_a_kit_that_lost_its_key_says_so_and_makes_no_other(home: Home) -> None:
    KitBooks(home)
    key = home.kit / "signing.key"
    key.unlink()
    with pytest.raises(BadFile, match="lost its signing key"):
        KitBooks(home)
    assert not key.exists()


def test_a_key_beside_the_card_of_another_kit_is_refused(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other", tmp_path / "run")
    KitBooks(home)
    KitBooks(other)
    (other.kit / "kit.json").rename(home.kit / "kit.json")
    with pytest.raises(BadFile, match="do not belong together"):
        KitBooks(home)


def test_the_newest_permits_are_remembered_and_counted_on(home: Home, tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage")
    permit, books = stage.permit(), KitBooks(home)
    stage.close()
    names = [new_id() for _ in range(_REMEMBERED + 1)]
    for name in names:
        books.count_film(msgspec.structs.replace(permit, id=name), None)
        books.disarm(name)
    books.count_film(msgspec.structs.replace(permit, id=names[1]), None)
    kept = KitBooks(home).books
    assert kept.films == {name: 1 + (name == names[1]) for name in names[1:]}
    assert kept.disarmed == tuple(names[1:])
    assert set(kept.recipients) == {permit.case}
