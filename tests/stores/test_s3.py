"""What only an S3 engine has: versions, and checksums that it looks at."""

import contextlib
import io
import threading
from pathlib import Path

import msgspec
import pytest

from appliance.bench.ceph import Ceph
from appliance.bench.certificates import Authority
from appliance.errors import NotLetIn, SendInterrupted
from appliance.records.files import new_id
from appliance.stores import open_store
from appliance.stores.store import Measured, Put, measure
from tests.stores.proxy import Answer, Asked, Passing, standing_between

NAME = "cases/a/identity-0001.age"


@pytest.fixture
def versioned(ceph: Ceph) -> str:
    """A bucket that keeps every version of what it holds."""
    name = f"versioned-{new_id()}"
    ceph.make_bucket(name, versions=True)
    return name


def test_a_purge_removes_every_version_of_a_key(ceph: Ceph, versioned: str) -> None:
    bucket = ceph.bucket(versioned)
    for content in (b"one", b"two"):
        assert bucket.ask("PUT", NAME, body=content)[0] == 200
    assert bucket.ask("DELETE", NAME)[0] == 204
    assert bucket.ask("PUT", "cases/a/clips/x", body=b"stays")[0] == 200
    assert bucket.ask("GET", "", {"versions": ""})[1].count(b"identity-0001.age") == 3
    url = ceph.url(versioned)
    with contextlib.closing(open_store(url, ceph.access("service"))) as store:
        assert store.purge("cases/a/identity-") == (NAME,)
        assert [entry.name for entry in store.list("")] == ["cases/a/clips/x"]
    assert b"identity-0001.age" not in bucket.ask("GET", "", {"versions": ""})[1]


def test_what_it_took_with_a_right_checksum_needs_no_reading_back(ceph: Ceph) -> None:
    with contextlib.closing(open_store(ceph.url(), ceph.access())) as store:
        assert store.create(f"cases/{new_id()}/x", io.BytesIO(b"x" * 70_000)) is Put.VERIFIED


def test_a_wrong_checksum_is_refused_and_leaves_nothing(ceph: Ceph) -> None:
    bucket = ceph.bucket("films")
    assert bucket.verifies()
    assert bucket.ask("GET", "probe/wrong-checksum")[0] == 404


def test_a_listing_goes_on_past_a_page_of_versions(ceph: Ceph, versioned: str) -> None:
    bucket = ceph.bucket(versioned)
    for number in range(3):
        bucket.ask("PUT", f"cases/a/identity-{number:04}.age", body=b"x")
    marks = {"versions": "", "max-keys": "1"}
    assert b"<IsTruncated>true" in bucket.ask("GET", "", marks)[1]
    url = ceph.url(versioned)
    with contextlib.closing(open_store(url, ceph.access("service"))) as store:
        assert len(store.purge("cases/a/")) == 3


def test_a_large_file_goes_as_it_is_read_and_needs_no_reading_back(
    ceph: Ceph, tmp_path: Path
) -> None:
    (tmp_path / "film").write_bytes(bytes(range(256)) * (40 << 12))
    name = f"cases/{new_id()}/x"
    with contextlib.closing(open_store(ceph.url(), ceph.access())) as store:
        with Measured(tmp_path / "film") as film:
            assert store.create(name, film) is Put.VERIFIED
        there = store.open(name)
        assert there is not None
        with there:
            assert measure(there) == film.content


def test_a_file_that_changed_after_it_was_measured_is_refused_and_leaves_nothing(
    ceph: Ceph, tmp_path: Path
) -> None:
    path, name = tmp_path / "film", f"cases/{new_id()}/x"
    path.write_bytes(b"x" * 3_000_000)
    with contextlib.closing(open_store(ceph.url(), ceph.access())) as store:
        with Measured(path) as film:
            with open(path, "r+b") as other:
                other.write(b"y")
            with pytest.raises(SendInterrupted):
                store.create(name, film)
        assert store.open(name) is None


def test_who_may_not_write_is_told_so_without_hearing_a_large_body_to_its_end(ceph: Ceph) -> None:
    access = msgspec.structs.replace(ceph.access(), secret_access_key="0" * 40)
    with (
        contextlib.closing(open_store(ceph.url(), access)) as store,
        pytest.raises(NotLetIn),
    ):
        store.create(f"cases/{new_id()}/x", io.BytesIO(bytes(40 << 20)))


def test_a_store_that_is_busy_or_drops_a_kept_connection_is_asked_again(
    ceph: Ceph, authority: Authority, tmp_path: Path
) -> None:
    tries: list[str] = []

    def at_first_busy(asked: Asked, passing: Passing) -> Answer | None:
        if asked.method != "PUT" or "/cases/" not in asked.path:
            return passing(asked)
        tries.append(asked.path)
        if len(tries) == 1:
            return Answer(503, {}, b"<Error><Code>SlowDown</Code></Error>")
        return None if len(tries) == 2 else passing(asked)

    with standing_between(ceph.endpoint, authority, tmp_path, authority, at_first_busy) as proxy:
        url = ceph.url("films", proxy.endpoint)
        with contextlib.closing(open_store(url, ceph.access())) as store:
            assert store.create(f"cases/{new_id()}/x", io.BytesIO(b"x" * 9)) is Put.VERIFIED
    assert len(tries) == 3


def test_a_store_that_says_nothing_to_what_it_was_sent_is_given_up(
    ceph: Ceph, authority: Authority, tmp_path: Path
) -> None:
    enough = threading.Event()

    def silent(asked: Asked, passing: Passing) -> Answer | None:
        if asked.method == "PUT" and "/cases/" in asked.path:
            enough.wait(60)
            return None
        return passing(asked)

    with standing_between(ceph.endpoint, authority, tmp_path, authority, silent) as proxy:
        url = ceph.url("films", proxy.endpoint)
        with contextlib.closing(open_store(url, ceph.access(), patience=0.5)) as store:
            try:
                with pytest.raises(SendInterrupted):
                    store.create(f"cases/{new_id()}/x", io.BytesIO(b"x" * 9))
            finally:
                enough.set()
