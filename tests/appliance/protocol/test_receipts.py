"""Receipts: found under the name of what was sent, and believed only as they are written."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.errors import BadFile
from appliance.protocol.receipts import Receipt, receipt_of, receipt_path
from appliance.records.files import Home, save_fact

NAME = "recordings/aaaaaaaaaaaaaaaa/0000.mp4.age"
RECEIPT = Receipt(
    object=NAME,
    size=9,
    sha256="0" * 64,
    store="sftp://store.example/films",
    at=datetime(2027, 3, 1, tzinfo=UTC),
    how="read-back",
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home", tmp_path / "run")
    path = receipt_path(made, NAME)
    path.parent.mkdir(parents=True)
    save_fact(path, RECEIPT)
    return made


def test_a_receipt_is_found_for_what_was_sent_and_for_nothing_else(home: Home) -> None:
    assert receipt_of(home, NAME) == RECEIPT
    assert receipt_of(home, NAME.replace("0000", "0001")) is None


@pytest.mark.parametrize(("said", "instead"), [("read-back", "believed"), ("receipt/v1", "x/v1")])
def test_what_is_no_receipt_vouches_for_nothing(home: Home, said: str, instead: str) -> None:
    path = receipt_path(home, NAME)
    path.write_text(path.read_text().replace(said, instead))
    with pytest.raises(BadFile):
        receipt_of(home, NAME)
