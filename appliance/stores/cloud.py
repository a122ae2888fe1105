"""S3-compatible engines and Azure, through obstore; what goes to an S3 engine, as `s3` sends it.

What obstore does not promise is held here: only the pinned certificate counts (`tls`); a request
may take as long as a slow line needs, and no longer; and what an engine says never reaches a
person or a log, because an address can carry a credential. obstore follows a redirect when it
reads, without the credential, and never when it writes; so what is read counts only by its digest
or its signature, as everywhere.
"""

import contextlib
import io
import mmap
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, BinaryIO, TypeVar
from urllib.parse import SplitResult, parse_qsl, urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
)
from obstore.store import AzureStore, S3Store

from appliance.errors import (
    BadInput,
    NotLetIn,
    SendFailed,
    SendInterrupted,
)
from appliance.records.reading import ReadAt
from appliance.stores.access import Access
from appliance.stores.answers import (
    access_ended,
    meaning,
    missing,
    names_no_store,
    not_reached,
    not_the_store,
)
from appliance.stores.endings import Ending, of_token
from appliance.stores.s3 import Bucket
from appliance.stores.store import (
    NAME,
    SLOWEST,
    Entry,
    Measured,
    Put,
    checked_name,
    in_turn,
    measure,
    pieces,
)
from appliance.stores.tls import knock, pinned

if TYPE_CHECKING:  # obstore has these for type checkers alone.
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

SIGNED = 1 << 20
"""Bytes: up to here an S3 engine is told a body's SHA-256 as well as its MD5. It has to work out
the MD5 anyway, and both together cost a small machine a fifth of its sending rate."""

_CHUNK = 1 << 20
_SMALLEST = 16 << 20
_STATUS = re.compile(r"\bcode: (\d{3})\b")
_BUSY = (409, 429, 500, 502, 503, 504)
_RESTS = (0.2, 1.0, 4.0)
"""Seconds at most from a busy answer or a broken line to the next try. After that, it waits."""
_RETRY: "RetryConfig" = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}
_T = TypeVar("_T")
_Make = Callable[["ClientConfig"], "ObjectStore"]


def open_s3(address: SplitResult, access: Access, patience: float) -> "BucketStore":
    """The store at s3://bucket/prefix?endpoint=https://host&region=name."""
    options = _options(address, {"endpoint", "region"})
    if "endpoint" not in options:
        raise BadInput(
            "The address of the store does not say at which host it is.",
            "Write s3://bucket/prefix?endpoint=https://HOST&region=REGION",
        )
    _needed(access.access_key_id and access.secret_access_key, "access_key_id, secret_access_key")
    context = pinned(access.pin)
    region = options.get("region", "us-east-1")
    prefix = address.path.strip("/")
    bucket = Bucket(
        options["endpoint"],
        region,
        address.netloc,
        f"{prefix}/" if prefix else "",
        access.access_key_id,
        access.secret_access_key,
        context,
        patience,
        keep=True,
    )

    def make(client: "ClientConfig") -> "ObjectStore":
        return S3Store(
            address.netloc,
            prefix=prefix or None,
            endpoint=options["endpoint"],
            region=region,
            access_key_id=access.access_key_id,
            secret_access_key=access.secret_access_key,
            client_options=client,
            retry_config=_RETRY,
        )

    host, ends = _knock(options["endpoint"], context, patience)
    return BucketStore(address.geturl(), host, make, access.pin, patience, ends, bucket)


def open_azure(address: SplitResult, access: Access, patience: float) -> "CloudStore":
    """The store at az://container/prefix?account=name, or at another `endpoint`."""
    options = _options(address, {"account", "endpoint"})
    if "account" not in options:
        raise BadInput(
            "The address of the store does not say in which account it is.",
            "Write az://container/prefix?account=NAME",
        )
    _needed(access.sas_token or access.account_key, "sas_token")
    endpoint = options.get("endpoint", f"https://{options['account']}.blob.core.windows.net")
    prefix = address.path.strip("/")
    host, ends = _knock(endpoint, pinned(access.pin), patience)
    secret = {"account_key": access.account_key} if access.account_key else {}
    if access.sas_token:
        secret = {"sas_key": access.sas_token.lstrip("?")}
        ends = (*ends, *of_token(access.sas_token))

    def make(client: "ClientConfig") -> "ObjectStore":
        return AzureStore(
            address.netloc,
            prefix=prefix or None,
            config={"account_name": options["account"], "endpoint": endpoint, **secret},  # type: ignore[arg-type]
            client_options=client,
            retry_config=_RETRY,
        )

    return CloudStore(address.geturl(), host, make, access.pin, patience, ends)


class CloudStore:
    """A bucket or container. `host` is named in errors."""

    def __init__(
        self,
        url: str,
        host: str,
        make: _Make,
        pin: str,
        patience: float,
        ends: Sequence[Ending],
    ) -> None:
        self._ends = tuple(ends)
        self._url = url
        self._host = host
        self._make = make
        self._pin = pin
        self._patience = patience
        self._clients: dict[int, ObjectStore] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return self._url

    @property
    def ends(self) -> tuple[Ending, ...]:
        return self._ends

    def create(self, name: str, source: IO[bytes]) -> Put:
        with _content(source) as data:
            try:
                obstore.put(self._client(len(data)), checked_name(name), data, mode="create")
            except AlreadyExistsError:
                return Put.ALREADY_THERE
            except (BaseError, OSError) as error:
                failure = self._failure(error)
                # Azure says so of what is there, to one who may create and not write over.
                if isinstance(failure, NotLetIn) and self.stream(name, 0) is not None:
                    return Put.ALREADY_THERE
                raise failure from None
        return Put.CREATED

    def open(self, name: str) -> BinaryIO | None:
        found = self.stream(checked_name(name), 0)
        return None if found is None else io.BufferedReader(_Object(self, name, *found), _CHUNK)

    def stream(self, name: str, start: int) -> tuple[int, Iterator[bytes]] | None:
        """The size of an object, and its bytes from `start` on; None if there is none."""
        try:
            found = obstore.get(
                self._client(0), name, options={"range": {"offset": start}} if start else None
            )
            return found.meta["size"], self._told(iter(found.stream(_CHUNK)))
        except FileNotFoundError as error:
            if names_no_store(str(error)):
                raise missing(self._host) from None
            return None
        except (BaseError, OSError) as error:
            raise self._failure(error) from None

    def list(self, prefix: str) -> Iterator[Entry]:
        folder, _, stem = prefix.rpartition("/")
        for entry in self._told(self._listed(folder, stem)):
            if NAME.fullmatch(entry.name):
                yield entry

    def remove(self, name: str) -> None:
        try:
            with contextlib.suppress(FileNotFoundError):
                obstore.delete(self._client(0), checked_name(name))
        except (BaseError, OSError) as error:
            raise self._failure(error) from None

    def purge(self, prefix: str) -> tuple[str, ...]:
        names = tuple(entry.name for entry in self.list(prefix))
        in_turn(self.remove, names)
        return names

    def sweep(self, before: datetime) -> int:
        return 0  # Each object goes in one request: an engine keeps nothing of one that was cut.

    def close(self) -> None:
        self._clients.clear()

    def _client(self, size: int) -> "ObjectStore":
        """A client with as much time for a request as `size` bytes may take. The size is rounded up
        to a power of two, so that connections are used again."""
        step = max(size, _SMALLEST).bit_length()
        with self._lock:
            if step not in self._clients:
                self._clients[step] = self._make(self._options(1 << step))
            return self._clients[step]

    def _options(self, size: int) -> "ClientConfig":
        return {
            "root_certificate": self._pin,
            "connect_timeout": timedelta(seconds=min(10.0, self._patience)),
            "timeout": timedelta(seconds=self._patience + size / SLOWEST),
        }

    def _listed(self, folder: str, stem: str) -> Iterator[Entry]:
        """obstore lists by whole folders; `stem` is the beginning of a name in one."""
        client = self._client(0)
        if not stem:
            for page in obstore.list(client, folder or None):
                yield from (Entry(found["path"], found["size"]) for found in page)
            return
        level = obstore.list_with_delimiter(client, folder or None)
        start = f"{folder}/{stem}" if folder else stem
        found = [Entry(o["path"], o["size"]) for o in level["objects"]]
        for name in level["common_prefixes"]:
            if name.startswith(start):
                found += self._listed(name, "")
        yield from sorted(
            (entry for entry in found if entry.name.startswith(start)), key=lambda one: one.name
        )

    def _told(self, items: Iterator[_T]) -> Iterator[_T]:
        try:
            yield from items
        except (BaseError, OSError) as error:
            if isinstance(error, SendFailed):
                raise
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> SendFailed:
        """What an error of obstore's means for sending."""
        # What follows is for those who look for a fault in obstore.
        whole = str(error)
        said = whole.partition("Debug source:")[0]
        if found := _STATUS.search(said):
            return self._answered(int(found[1]), said)
        if "certificate" in whole or "UnknownIssuer" in whole:
            return not_the_store(self._host)
        if "error sending request" in whole and "connect" in whole:
            return not_reached(self._host)
        return self._answered(0, said)

    def _answered(self, status: int, said: str) -> SendFailed:
        """What an engine's answer means for sending."""
        failure = meaning(self._host, status, said)
        if isinstance(failure, NotLetIn) and any(
            ending.what == "credential" and ending.at <= datetime.now(UTC) for ending in self._ends
        ):
            return access_ended(self._host)
        return failure


class BucketStore(CloudStore):
    """A bucket at an S3 engine, which is told the digest of what it is to take."""

    def __init__(
        self,
        url: str,
        host: str,
        make: _Make,
        pin: str,
        patience: float,
        ends: Sequence[Ending],
        bucket: Bucket,
    ) -> None:
        super().__init__(url, host, make, pin, patience, ends)
        self._bucket = bucket
        self._verifies: bool | None = None

    def create(self, name: str, source: IO[bytes]) -> Put:
        verifies = self._probed()
        size, sha256, md5 = source.content if isinstance(source, Measured) else measure(source)
        for rest in (*_RESTS, None):
            source.seek(0)
            try:
                answer = self._bucket.put(
                    checked_name(name), source, size, md5, sha256 if size <= SIGNED else ""
                )
            except SendInterrupted:
                if rest is None:
                    raise
            else:
                if rest is None or answer.status not in _BUSY:
                    break
            time.sleep(rest * random.uniform(0.5, 1))  # noqa: S311
        if answer.status == 412:
            return Put.ALREADY_THERE
        if not 200 <= answer.status < 300:
            raise self._answered(answer.status, answer.body.decode(errors="replace"))
        return Put.VERIFIED if verifies and answer.etag == md5.hex() else Put.CREATED

    def purge(self, prefix: str) -> tuple[str, ...]:
        return self._bucket.remove_versions(prefix)

    def close(self) -> None:
        super().close()
        self._bucket.close()

    def _probed(self) -> bool:
        with self._lock:
            if self._verifies is None:
                self._verifies = self._bucket.verifies()
            return self._verifies


class _Object(ReadAt):
    """An object that is being read: from its start to its end unless it is asked otherwise."""

    def __init__(self, store: CloudStore, name: str, size: int, parts: Iterator[bytes]) -> None:
        self._store, self._name, self.size = store, name, size
        self._parts: Iterator[bytes] | None = parts
        self._rest, self._next = b"", 0

    def read_at(self, offset: int, length: int, /) -> bytes:
        if offset >= self.size:
            return b""
        if offset != self._next:
            self._next, self._rest, self._parts = offset, b"", None
        if self._parts is None:
            found = self._store.stream(self._name, offset)
            if found is None:
                raise SendInterrupted(
                    f"{self._name} was taken away while it was read.", "Try it again."
                )
            self.size, self._parts = found
        if not self._rest:
            self._rest = next(self._parts, b"")
            if not self._rest:
                raise SendInterrupted(
                    f"The end of {self._name} did not come.", "It is tried again."
                )
        data, self._rest = self._rest[:length], self._rest[length:]
        self._next += len(data)
        return data


@contextlib.contextmanager
def _content(source: IO[bytes]) -> Iterator[bytes | mmap.mmap]:
    """All of a file, mapped, so that several large ones take no memory; or what is no file."""
    try:
        mapped = mmap.mmap(source.fileno(), 0, prot=mmap.PROT_READ)
    except (io.UnsupportedOperation, ValueError):  # Not a file, or an empty one.
        yield b"".join(pieces(source))
        return
    with mapped:
        yield mapped


def _options(address: SplitResult, known: set[str]) -> dict[str, str]:
    options = dict(parse_qsl(address.query))
    wrong = sorted(set(options) - known)
    if wrong or not address.netloc or "@" in address.netloc or address.fragment:
        raise BadInput(
            f"{address.scheme}://... is no place to send to"
            + (f": nobody knows what {wrong[0]} means." if wrong else "."),
            f"Write {address.scheme}://NAME/PREFIX, and after a question mark only: "
            f"{', '.join(sorted(known))}.",
        )
    return options


def _needed(value: str, names: str) -> None:
    if not value:
        raise BadInput(f"The access file lacks {names}.", "Ask your service for another one.")


def _knock(
    endpoint: str, context: ssl.SSLContext, patience: float
) -> tuple[str, tuple[Ending, ...]]:
    """The host of an endpoint, once it has shown the pinned certificate, and what of it ends."""
    address = urlsplit(endpoint)
    if address.scheme != "https" or not address.hostname or address.username is not None:
        raise BadInput(
            "The address of the store is not one that begins with https://.",
            "Nothing is sent over an open line: give its https address.",
        )
    return address.hostname, knock(address.hostname, address.port or 443, context, patience)
