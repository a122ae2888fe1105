"""Between kit and store anything may happen: it ends in "sent and confirmed exactly", or the kit
says that it is still here."""

import contextlib
import functools
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from obstore.store import S3Store

from appliance.base.orders import make_new
from appliance.bench.ceph import Ceph
from appliance.bench.certificates import Authority
from appliance.config import Config, write_config
from appliance.errors import NotLetIn, SendFailed, SendInterrupted, SendRefused, WrongStore
from appliance.protocol.objects import SERVICE_CARD
from appliance.protocol.status import SyncStatus
from appliance.records.files import new_id
from appliance.stores import open_store
from appliance.stores.cloud import SIGNED
from appliance.stores.store import Store
from tests.stores.proxy import Answer, Asked, Harm, Passing, Proxy, honest, standing_between
from tests.stores.servers import write_access
from tests.support.homes import SendingKit, contents, service


@pytest.fixture
def bucket(ceph: Ceph) -> str:
    """A bucket that is the service's, and empty but for its card."""
    name = f"b-{new_id()}"
    ceph.make_bucket(name)
    with contextlib.closing(open_store(ceph.url(name), ceph.access("service"))) as store:
        make_new(store, service())
    return name


@pytest.fixture
def proxy(ceph: Ceph, authority: Authority, tmp_path: Path) -> Iterator[Proxy]:
    with standing_between(ceph.endpoint, authority, tmp_path, authority) as standing:
        yield standing


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    """A kit with a film of a few segments, too large for two checksums."""
    kit = SendingKit(tmp_path / "kit", tmp_path / "unused")
    kit.film(kit.case().id, segments=4, size=SIGNED + 1)
    return kit


def expected(kit: SendingKit) -> dict[str, bytes]:
    films = {
        f"cases/{case}/recordings/{film.name}/{name}": data
        for film in kit.home.recordings.iterdir()
        for case in [next(kit.home.cases.iterdir()).name]
        for name, data in contents(film).items()
    }
    return kit.sendable() | films


@pytest.fixture
def sending(ceph: Ceph, bucket: str, proxy: Proxy, kit: SendingKit) -> "Sending":
    return Sending(ceph, bucket, proxy, kit)


class Sending:
    """A kit that sends through the proxy."""

    def __init__(self, ceph: Ceph, bucket: str, proxy: Proxy, kit: SendingKit) -> None:
        self.ceph, self.bucket, self.proxy, self.kit = ceph, bucket, proxy, kit

    def open(self, patience: float = 3.0) -> Store:
        url = self.ceph.url(self.bucket, self.proxy.endpoint)
        return open_store(url, self.ceph.access(), patience)

    def run(self, in_flight: int = 4) -> SyncStatus | SendFailed:
        try:
            return self.kit.sync(self.open(), in_flight)
        except SendFailed as failed:
            return failed

    def there(self) -> dict[str, bytes]:
        """What the store really holds."""
        url = self.ceph.url(self.bucket)
        with contextlib.closing(open_store(url, self.ceph.access("service"))) as store:
            found = {}
            for entry in store.list(""):
                file = store.open(entry.name)
                assert file is not None
                with file:
                    found[entry.name] = file.read()
        found.pop(SERVICE_CARD)
        return found

    def check(self) -> None:
        """What has a receipt is there to the byte; the rest is still here, and goes once the line
        is well again."""
        everything, there = expected(self.kit), self.there()
        for name, receipt in self.kit.receipts().items():
            assert hashlib.sha256(there[name]).hexdigest() == receipt.sha256
            assert there[name] == everything[name]
        assert expected(self.kit) == everything
        self.proxy.harm = honest
        last = self.run()
        assert isinstance(last, SyncStatus), last
        assert last.state == "sent", last.problems
        assert self.there() == everything
        assert set(self.kit.receipts()) == set(everything)


def is_film(asked: Asked) -> bool:
    return "/recordings/" in asked.path and ".mp4.age" in asked.path


def of_films(method: str, harm: Harm) -> Harm:
    """Harm done to what is asked about films, by turns: every other time it goes well."""
    times = iter(range(1_000_000))
    lock = threading.Lock()

    def done(asked: Asked, passing: Passing) -> Answer | None:
        if asked.method != method or not is_film(asked):
            return passing(asked)
        with lock:
            turn = next(times)
        return harm(asked, passing) if turn % 2 == 0 else passing(asked)

    return done


def hangs_up(asked: Asked, passing: Passing) -> None:
    return None


def hangs_up_after(asked: Asked, passing: Passing) -> None:
    passing(asked)


def busy(asked: Asked, passing: Passing) -> Answer:
    return Answer(503, {}, b"<Error><Code>SlowDown</Code></Error>")


def broken(asked: Asked, passing: Passing) -> Answer:
    return Answer(500, {}, b"<Error><Code>InternalError</Code></Error>")


def yes(asked: Asked, passing: Passing) -> Answer:
    """The lie: it says that it has it, and keeps nothing."""
    return Answer(200, {"ETag": f'"{hashlib.md5(b"anything").hexdigest()}"'}, b"")


def plain_yes(asked: Asked, passing: Passing) -> Answer:
    return Answer(200, {}, b"")


def portal(asked: Asked, passing: Passing) -> Answer:
    return Answer(200, {"Content-Type": "text/html"}, b"<html>Welcome! Please sign in</html>")


def corrupts(asked: Asked, passing: Passing) -> Answer:
    body = bytearray(asked.body)
    body[len(body) // 2] ^= 1
    return passing(Asked(asked.method, asked.path, asked.headers, bytes(body)))


def truncates(asked: Asked, passing: Passing) -> Answer:
    headers = {k: v for k, v in asked.headers.items() if k.lower() != "content-length"}
    body = asked.body[:-1]
    headers["content-length"] = str(len(body))
    return passing(Asked(asked.method, asked.path, headers, body))


def corrupts_the_answer(asked: Asked, passing: Passing) -> Answer:
    answer = passing(asked)
    body = bytearray(answer.body)
    if body:
        body[len(body) // 2] ^= 1
    return Answer(answer.status, answer.headers, bytes(body))


def cuts_the_answer(asked: Asked, passing: Passing) -> Answer:
    answer = passing(asked)
    return Answer(answer.status, answer.headers, answer.body, cut=len(answer.body) // 2)


def slow(asked: Asked, passing: Passing) -> Answer:
    threading.Event().wait(0.3)
    return passing(asked)


def stalls_after(asked: Asked, passing: Passing) -> None:
    """It has it, and says nothing for longer than anybody waits."""
    passing(asked)
    threading.Event().wait(8)


def skewed(asked: Asked, passing: Passing) -> Answer:
    return Answer(403, {}, b"<Error><Code>RequestTimeTooSkewed</Code></Error>")


@pytest.mark.parametrize(
    "harm",
    [
        hangs_up,
        hangs_up_after,
        stalls_after,
        slow,
        busy,
        broken,
        yes,
        plain_yes,
        portal,
        corrupts,
        truncates,
        skewed,
    ],
    ids=lambda harm: harm.__name__,
)
def test_whatever_happens_to_what_is_sent(sending: Sending, harm: Harm) -> None:
    sending.proxy.harm = of_films("PUT", harm)
    sending.run()
    sending.check()


@pytest.mark.parametrize(
    "harm",
    [hangs_up, slow, broken, portal, corrupts_the_answer, cuts_the_answer],
    ids=lambda harm: harm.__name__,
)
def test_whatever_happens_to_what_is_read_back(sending: Sending, harm: Harm) -> None:
    refusal_hidden: Harm = lambda asked, passing: (  # noqa: E731
        Answer(200, {}, b"") if "probe/" in asked.path else films(asked, passing)
    )
    films = of_films("GET", harm)
    # Its refusal of a wrong checksum is not seen, so that everything is read back.
    sending.proxy.harm = refusal_hidden
    sending.run()
    assert {receipt.how for receipt in sending.kit.receipts().values()} <= {"read-back"}
    sending.check()


def test_an_answer_that_is_replayed_confirms_nothing(sending: Sending) -> None:
    kept: list[Answer] = []

    def replay(asked: Asked, passing: Passing) -> Answer:
        if asked.method != "PUT" or not is_film(asked):
            return passing(asked)
        if not kept:
            kept.append(passing(asked))
        return kept[0]

    sending.proxy.harm = replay
    sending.run(in_flight=1)
    films = [name for name in sending.kit.receipts() if "/0" in name and "mp4" in name]
    assert len(films) <= 1
    sending.check()


def test_a_store_that_takes_a_wrong_checksum_is_read_back(sending: Sending) -> None:
    def takes_anything(asked: Asked, passing: Passing) -> Answer:
        return Answer(200, {}, b"") if "probe/" in asked.path else passing(asked)

    sending.proxy.harm = takes_anything
    status = sending.run()
    assert isinstance(status, SyncStatus)
    assert {receipt.how for receipt in sending.kit.receipts().values()} == {"read-back"}
    reads = [asked for asked in sending.proxy.asked if asked.method == "GET" and is_film(asked)]
    assert len(reads) == 4
    sending.check()


def test_a_store_that_refuses_it_is_believed_what_it_shows(sending: Sending) -> None:
    status = sending.run()
    assert isinstance(status, SyncStatus)
    assert {receipt.how for receipt in sending.kit.receipts().values()} == {"verified"}
    assert not [asked for asked in sending.proxy.asked if asked.method == "GET" and is_film(asked)]
    sending.check()


def test_a_line_that_stalls_is_given_up_and_nothing_is_lost(sending: Sending) -> None:
    enough = threading.Event()

    def stalls(asked: Asked, passing: Passing) -> Answer | None:
        if "tombstones/" in asked.path:
            enough.wait(30)
            return None
        return passing(asked)

    sending.proxy.harm = stalls
    try:
        with pytest.raises(SendInterrupted):
            sending.kit.sync(sending.open(patience=0.3))
    finally:
        enough.set()
    sending.check()


# --- Another place ------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(ceph: Ceph, authority: Authority, tmp_path: Path) -> Iterator[Proxy]:
    """A man in the middle, with a certificate that another authority signed for the same host."""
    (tmp_path / "other").mkdir()
    with standing_between(ceph.endpoint, Authority(), tmp_path / "other", authority) as standing:
        yield standing


def test_a_man_in_the_middle_hears_nothing(
    ceph: Ceph, bucket: str, elsewhere: Proxy, kit: SendingKit
) -> None:
    with pytest.raises(WrongStore, match="Nothing was sent"):
        kit.sync(open_store(ceph.url(bucket, elsewhere.endpoint), ceph.access(), 3.0))
    assert elsewhere.asked == []
    assert kit.receipts() == {}


def test_the_pin_may_be_the_authority_in_the_middle_which_signs_the_stores_certificate(
    ceph: Ceph, bucket: str, authority: Authority, kit: SendingKit, tmp_path: Path
) -> None:
    middle = Authority(above=Authority())
    (tmp_path / "between").mkdir()
    with standing_between(ceph.endpoint, middle, tmp_path / "between", authority) as standing:
        access = msgspec.structs.replace(ceph.access(), pin=middle.pem)
        assert kit.sync(open_store(ceph.url(bucket, standing.endpoint), access)).state == "sent"


def test_obstore_alone_would_not_speak_to_him_either(
    ceph: Ceph, bucket: str, elsewhere: Proxy, kit: SendingKit
) -> None:
    """The knock could pass and somebody step in after it."""
    store: Any = open_store(ceph.url(bucket), ceph.access(), 3.0)
    store._make = functools.partial(_elsewhere, store._make, elsewhere.endpoint, bucket, ceph)
    with pytest.raises(SendFailed):
        kit.sync(store)
    assert elsewhere.asked == []


def _elsewhere(
    make: Callable[..., object], endpoint: str, bucket: str, ceph: Ceph, client: Any
) -> object:
    access = ceph.access()
    return S3Store(
        bucket,
        endpoint=endpoint,
        access_key_id=access.access_key_id,
        secret_access_key=access.secret_access_key,
        client_options=client,
        retry_config={"max_retries": 0},
    )


def test_an_authority_that_the_computer_trusts_is_not_enough(
    ceph: Ceph, bucket: str, tmp_path: Path, authority: Authority, kit: SendingKit
) -> None:
    other = Authority()
    (tmp_path / "trusted.pem").write_text(other.pem)
    (tmp_path / "x").mkdir()
    settings = kit.root / "attune.toml"
    with standing_between(ceph.endpoint, other, tmp_path / "x", authority) as standing:
        access = write_access(kit.root / "access.toml", ceph.access())
        write_config(
            settings,
            Config(
                home=str(kit.home.root),
                run=str(kit.home.run),
                store=ceph.url(bucket, standing.endpoint),
                store_access=str(access),
            ),
        )
        done = subprocess.run(
            [sys.executable, "-m", "appliance.sync", "--config", str(settings), "--once"],
            env={**os.environ, "SSL_CERT_FILE": str(tmp_path / "trusted.pem")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "Nothing was sent" in done.stderr
        assert standing.asked == []


def test_after_a_redirect_nothing_is_sent(
    sending: Sending, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "target").mkdir()
    with standing_between(
        sending.ceph.endpoint, authority, tmp_path / "target", authority
    ) as target:

        def elsewhere(asked: Asked, passing: Passing) -> Answer:
            return Answer(307, {"Location": f"{target.endpoint}{asked.path}"}, b"")

        sending.proxy.harm = elsewhere
        assert isinstance(sending.run(), SendFailed)
        assert [asked for asked in target.asked if asked.method != "GET"] == []
        assert all("authorization" not in map(str.lower, a.headers) for a in target.asked)
        assert sending.kit.receipts() == {}
    sending.check()


def test_a_page_to_sign_in_is_not_taken_for_the_store(sending: Sending) -> None:
    sending.proxy.harm = portal
    with pytest.raises(SendRefused):
        sending.kit.sync(sending.open())
    assert [asked.method for asked in sending.proxy.asked if asked.method != "GET"] == []
    sending.check()


def test_a_credential_that_was_taken_away_is_told_in_words(sending: Sending) -> None:
    sending.proxy.harm = lambda asked, passing: Answer(403, {}, b"<Error/>")
    assert isinstance(sending.run(), NotLetIn)
    sending.check()
