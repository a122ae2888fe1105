"""What only an S3 engine has: versions, and checksums that it looks at."""

import contextlib
import io

import pytest

from appliance.bench.ceph import Ceph
from appliance.files import new_id
from appliance.stores import Put, open_store

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
