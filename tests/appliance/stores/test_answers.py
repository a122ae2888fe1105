"""What an engine answers is told as what it means: lasting, or passing."""

import contextlib
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from appliance.bench.certificates import Authority
from appliance.errors import (
    AccessEnded,
    NotLetIn,
    NotSupported,
    PortalPage,
    SendFailed,
    SendInterrupted,
    SendRefused,
    StoreFull,
    StoreMissing,
    TooLarge,
    WrongClock,
    WrongPlace,
    WrongStore,
)
from appliance.stores import open_store
from appliance.stores.access import Access
from appliance.stores.answers import meaning
from appliance.stores.folder import FolderStore
from appliance.stores.store import ServiceStore
from appliance.stores.tls import knock, pinned
from tests.appliance.stores.test_tls import answering
from tests.stores.proxy import Answer, Proxy, standing_between

TOKEN = "sv=2021-12-02&sp=rcl&se=2999-01-01T00%3A00%3A00Z&sig=AAAA"
ENDED = TOKEN.replace("2999", "2019")
TIME_FRAME = (
    "<Code>AuthenticationFailed</Code><AuthenticationErrorDetail>Signature not valid in the "
    "specified time frame: Start [x] - Expiry [y] - Current [z]</AuthenticationErrorDetail>"
)
ANSWERS = [
    (507, "<Code>XMinioStorageFull</Code>", StoreFull),
    (403, "<Code>QuotaExceeded</Code>", StoreFull),
    (507, "", StoreFull),
    (400, "<Code>AuthorizationHeaderMalformed</Code>", WrongPlace),
    (400, "<Code>InvalidBucketName</Code>", WrongPlace),
    (301, "<Code>PermanentRedirect</Code>", WrongPlace),
    (400, "<Code>ExpiredToken</Code>", AccessEnded),
    (403, TIME_FRAME, AccessEnded),
    (403, "<Code>InvalidAccessKeyId</Code>", NotLetIn),
    (401, "", NotLetIn),
    (403, "<Code>RequestTimeTooSkewed</Code>", WrongClock),
    (501, "<Code>NotImplemented</Code>", NotSupported),
    (405, "<Code>MethodNotAllowed</Code>", NotSupported),
    (413, "<html>Request Entity Too Large</html>", TooLarge),
    (400, "<Code>EntityTooLarge</Code>", TooLarge),
    (511, "<html>Please sign in</html>", PortalPage),
    (418, "", SendRefused),
    (400, "<Code>RequestTimeout</Code>", SendInterrupted),
    (400, "<Code>BadDigest</Code>", SendInterrupted),
    (429, "", SendInterrupted),
]


class Engine:
    """An engine that gives one answer to everything."""

    def __init__(self, proxy: Proxy, authority: Authority) -> None:
        self._proxy, self._authority = proxy, authority

    def says(self, status: int, body: str) -> None:
        answer = Answer(status, {"Content-Type": "application/xml"}, body.encode())
        self._proxy.harm = lambda asked, passing: answer

    def open(self, kind: str, token: str = TOKEN) -> ServiceStore:
        pin, endpoint = self._authority.pem, self._proxy.endpoint
        if kind == "s3":
            access = Access(pin=pin, access_key_id="a", secret_access_key="b")
            return open_store(f"s3://b?endpoint={endpoint}", access, 3.0)
        access = Access(pin=pin, sas_token=token)
        return open_store(f"az://b?account=x&endpoint={endpoint}/x", access, 3.0)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    authority = Authority()
    folder = tmp_path_factory.mktemp("engine")
    with standing_between("https://127.0.0.1:1", authority, folder, authority) as proxy:
        yield Engine(proxy, authority)


def refused(store: ServiceStore) -> list[SendFailed]:
    """What is said to one who reads, lists and sends."""
    found = []
    with contextlib.closing(store):
        for act in (
            lambda: store.open("service/card.json"),
            lambda: list(store.list("orders/")),
            lambda: store.create("x/y", io.BytesIO(b"x")),
        ):
            with pytest.raises(SendFailed) as failed:
                act()
            found.append(failed.value)
    return found


@pytest.mark.parametrize("kind", ["s3", "az"])
@pytest.mark.parametrize(("status", "body", "what"), ANSWERS)
def test_each_answer_is_told_as_what_it_means_to_whoever_reads_lists_or_sends(
    engine: Engine, kind: str, status: int, body: str, what: type[SendFailed]
) -> None:
    engine.says(status, f"<Error>{body}</Error>")
    for failed in refused(engine.open(kind)):
        assert type(failed) is what, (failed, failed.__cause__)
        assert failed.sentence and failed.hint
        assert "sig=" not in str(failed) and "<" not in str(failed)


def test_a_bucket_that_is_not_there_is_not_taken_for_an_object_that_is_not(engine: Engine) -> None:
    for kind, code in (("s3", "NoSuchBucket"), ("az", "ContainerNotFound")):
        engine.says(404, f"<Error><Code>{code}</Code></Error>")
        assert {type(failed) for failed in refused(engine.open(kind))} == {StoreMissing}
    engine.says(404, "<Error><Code>NoSuchKey</Code></Error>")
    with contextlib.closing(engine.open("s3")) as store:
        assert store.open("service/card.json") is None


def test_a_token_that_has_run_out_is_told_as_such_whatever_the_engine_says(engine: Engine) -> None:
    engine.says(403, "<Error><Code>AuthorizationFailure</Code></Error>")
    assert {type(failed) for failed in refused(engine.open("az", ENDED))} == {AccessEnded}
    assert {type(failed) for failed in refused(engine.open("az"))} == {NotLetIn}


def test_nothing_that_lasts_is_told_as_passing_nor_the_other_way_round() -> None:
    for status in range(400, 600):
        failed = meaning("host", status, "")
        lasting = isinstance(failed, SendRefused)
        assert lasting is not isinstance(failed, SendInterrupted)
        passes = status in (408, 409, 412, 421, 425, 429) or (
            status >= 500 and status not in (501, 507, 511)
        )
        assert lasting is not passes, status


def test_a_page_to_sign_in_that_speaks_no_tls_is_told_as_such() -> None:
    with socket.create_server(("localhost", 0)) as server:

        def portal() -> None:
            wire, _ = server.accept()
            with wire:
                wire.recv(1)
                wire.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n")
                with contextlib.suppress(OSError):
                    while wire.recv(4096):
                        pass

        thread = threading.Thread(target=portal)
        thread.start()
        with pytest.raises(PortalPage, match="sign in to"):
            knock("localhost", server.getsockname()[1], pinned(Authority().pem), 10.0)
        thread.join()


def test_another_host_of_the_right_authority_is_told_by_its_name(tmp_path: Path) -> None:
    authority = Authority()
    with answering(authority, tmp_path) as port, pytest.raises(WrongStore, match="another name"):
        knock("127.0.0.1", port, pinned(authority.pem), 10.0)


def test_an_sftp_server_that_lacks_what_is_needed_is_told_as_lasting(tmp_path: Path) -> None:
    from appliance.stores.sftp import SftpStore

    store = SftpStore.__new__(SftpStore)
    store._host = "host"
    told = {
        asyncssh.SFTPOpUnsupported(""): NotSupported,
        asyncssh.SFTPNoSpaceOnFilesystem(""): StoreFull,
        asyncssh.SFTPQuotaExceeded(""): StoreFull,
        asyncssh.SFTPPermissionDenied(""): NotLetIn,
        asyncssh.SFTPFailure(""): SendInterrupted,
        asyncssh.SFTPConnectionLost(""): SendInterrupted,
    }
    for error, what in told.items():
        assert type(store._failure(error)) is what


def test_a_file_too_large_for_the_file_system_is_not_told_as_a_full_disk(tmp_path: Path) -> None:
    with contextlib.closing(FolderStore(tmp_path)) as store:
        assert type(store.failure(OSError(27, "File too large"))) is TooLarge
        assert type(store.failure(OSError(28, "No space left on device"))) is StoreFull
