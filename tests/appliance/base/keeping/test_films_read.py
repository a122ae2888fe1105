"""Which films the service read whole is its signed word to each kit, and of nothing less."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.protocol.emptying import FILMS_READ, FilmsRead, films_read_object
from appliance.protocol.orders import HoldNotice
from appliance.records.files import save
from appliance.records.signing import sign_fact
from appliance.verifying import Folder, verify
from tests.support.bases import Base
from tests.support.homes import STARTED, practitioner, service


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    made = Base(tmp_path)
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    return made


def said(at_base: Base) -> dict[str, str] | None:
    """What the service says that it read of this kit's."""
    path = at_base.store / films_read_object(at_base.kit.id)
    if not path.exists():
        return None
    read = service().chain.word(path.read_bytes(), FilmsRead)
    assert read.kit == at_base.kit.id
    return read.films


def films(at_base: Base) -> dict[str, str]:
    """Every film on the kit, with the digest of its manifest."""
    return {
        path.name: hashlib.sha256((path / "manifest").read_bytes()).hexdigest()
        for path in at_base.kit.home.recordings.iterdir()
    }


def test_a_kit_is_told_of_the_films_that_were_read_whole_and_of_no_other(at_base: Base) -> None:
    at_base.sent()
    at_base.told("audit")
    at_base.told("audit", "--sample", "100", "--dry-run")
    assert said(at_base) is None
    at_base.told("audit", "--sample", "100")
    assert said(at_base) == films(at_base)
    # A look at the listing says no more of the bytes, and takes nothing back.
    at_base.told("audit")
    assert said(at_base) == films(at_base)
    at_base.kit.sender(emptying=True).run()
    assert (at_base.kit.home.inbox / FILMS_READ).exists()
    keys = [service().signer.verifier, practitioner().signer.verifier]
    found = verify(Folder(at_base.store), keys).findings
    (note,) = [one for one in found if one.what.endswith(FILMS_READ)]
    assert (note.state, note.words.rpartition(": ")[2]) == ("holds", "1")


def test_a_film_of_which_one_byte_is_another_is_not_named(at_base: Base) -> None:
    at_base.sent()
    case = at_base.sent()
    at_base.told("audit", "--sample", "100")
    (path,) = (at_base.store / "cases" / case / "recordings").glob("*/0001.mp4.age")
    path.chmod(0o600)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    at_base.told("audit", "--sample", "100", status=1)
    named = said(at_base)
    assert named is not None and set(named) == set(films(at_base)) - {path.parent.name}


def test_a_film_that_no_key_at_the_store_opens_is_not_named(at_base: Base) -> None:
    case = at_base.sent()
    (at_base.store / "cases" / case / "identity-0001.age").unlink()
    at_base.told("audit", "--sample", "100", status=1)
    assert not said(at_base)


def test_where_something_was_lost_what_was_said_before_is_taken_back(at_base: Base) -> None:
    case = at_base.sent()
    at_base.told("audit", "--sample", "100")
    (path,) = (at_base.store / "cases" / case / "recordings").glob("*/0001.mp4.age")
    path.unlink()
    at_base.told("audit", status=1)
    assert said(at_base) == {}


def test_a_film_under_a_hold_is_not_named(at_base: Base) -> None:
    at_base.sent()
    case = at_base.sent()
    (held,) = (path.name for path in (at_base.store / "cases" / case / "recordings").iterdir())
    at_base.told("hold", case, "--film", held, "--until", "2099-01-01")
    at_base.told("audit", "--sample", "100")
    assert said(at_base) == {film: of for film, of in films(at_base).items() if film != held}


def test_a_hold_that_a_kit_has_placed_counts_as_well(at_base: Base) -> None:
    case = at_base.sent()
    notice = HoldNotice(
        case=case,
        signer=practitioner().signer.verifier.name,
        since=STARTED,
        until=STARTED + timedelta(days=90),
    )
    note = sign_fact(practitioner().signer, notice).encode()
    save(at_base.kit.home.case(case).hold, note)
    at_base.kit.sync()
    at_base.told("audit", "--sample", "100")
    assert not said(at_base)


def test_a_film_that_was_taken_back_is_not_named(at_base: Base) -> None:
    at_base.withdrawn()
    assert at_base.run("serve", "--once").returncode == 0
    at_base.told("audit", "--sample", "100")
    assert not said(at_base)
