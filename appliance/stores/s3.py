"""What obstore cannot ask an S3 engine: to take a body while it is read, told its MD5; to refuse a
wrong checksum; to remove every version of an object.

Signed requests, by AWS Signature Version 4 (docs.aws.amazon.com, "Signature
Calculations for the Authorization Header"). No redirect is ever followed.
"""

import base64
import contextlib
import hashlib
import hmac
import http.client
import io
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, NamedTuple
from urllib.parse import quote, urlsplit

from appliance.errors import NotLetIn, NotPossible, SendInterrupted, WrongPlace, WrongStore
from appliance.stores.answers import meaning, not_reached, not_the_store
from appliance.stores.store import BLOCK, SLOWEST, in_turn, pieces

PROBE = "probe/wrong-checksum"
"""Where a store that takes a body with a wrong checksum keeps it, once: a kit cannot remove it."""

_LONGEST_ANSWER = 16 << 20
_MISMATCHES = (b"XAmzContentSHA256Mismatch", b"BadDigest", b"ContentSHA256Mismatch")


class Answer(NamedTuple):
    """What an engine said. `etag` is without its quotes, '' if there is none."""

    status: int
    body: bytes
    etag: str


@dataclass(frozen=True)
class Bucket:
    """A bucket at an S3 engine, or a prefix of one. Any thread."""

    endpoint: str
    region: str
    bucket: str
    prefix: str
    """'' or something that ends in a slash."""
    access_key_id: str
    secret_access_key: str = field(repr=False)
    context: ssl.SSLContext = field(repr=False)
    patience: float = 60.0
    keep: bool = False
    """Connections are kept for what comes next, until `close`."""
    _idle: list[http.client.HTTPSConnection] = field(default_factory=list, init=False, repr=False)

    def verifies(self) -> bool:
        """True if the engine refuses a body that is not what its signature says, and one that is
        not what its Content-MD5 says.

        Raises WrongStore, NotReached.
        """
        right, body = b"what was told", b"not what was told"
        md5 = hashlib.md5(right, usedforsecurity=False).digest()
        for signed, told in (
            (hashlib.sha256(right).hexdigest(), {}),
            ("", {"content-md5": base64.b64encode(md5).decode()}),
        ):
            headers = {"if-none-match": "*", **told}
            answer = self.ask(
                "PUT", f"{self.prefix}{PROBE}", body=body, signed=signed, headers=headers
            )
            if answer.status != 400 or not any(code in answer.body for code in _MISMATCHES):
                return False
        return True

    def remove_versions(self, prefix: str) -> tuple[str, ...]:
        """Remove every version of every object whose name starts so; returns the names."""
        found = list(self._versions(f"{self.prefix}{prefix}"))
        in_turn(lambda one: self._done(self.ask("DELETE", one[0], {"versionId": one[1]})), found)
        return tuple(sorted({key.removeprefix(self.prefix) for key, _ in found}))

    def _versions(self, prefix: str) -> Iterator[tuple[str, str]]:
        # Only the service's program needs it, and every import costs a kit memory.
        import xml.etree.ElementTree as ElementTree

        query = {"versions": "", "prefix": prefix}
        while True:
            page = ElementTree.fromstring(self._done(self.ask("GET", "", query)))  # noqa: S314 - of the pinned store, and short
            marks = {}
            for element in page:
                kind = element.tag.rpartition("}")[2]
                found = {part.tag.rpartition("}")[2]: part.text or "" for part in element}
                if kind in ("Version", "DeleteMarker"):
                    yield found["Key"], found["VersionId"]
                marks[kind] = element.text or ""
            if marks.get("IsTruncated") != "true":
                return
            query |= {
                "key-marker": marks["NextKeyMarker"],
                "version-id-marker": marks["NextVersionIdMarker"],
            }

    def _done(self, answer: Answer) -> bytes:
        """The body of an answer that says yes."""
        if answer.status in (401, 403):
            raise NotLetIn(
                "The store does not let this program remove something.",
                "Give the service's own access file, not a kit's. If it is that, the engine keeps "
                "an object on purpose, as under a legal hold: its operator can end that.",
            )
        if not 200 <= answer.status < 300:
            host = urlsplit(self.endpoint).hostname or ""
            raise meaning(host, answer.status, answer.body.decode(errors="replace"))
        return answer.body

    def put(self, name: str, source: IO[bytes], size: int, md5: bytes, sha256: str) -> Answer:
        """Send a body under a new name, as it is read, with its MD5 and, unless '', the signed
        SHA-256 (hex). Raises WrongStore, NotReached, SendInterrupted."""
        told = {"if-none-match": "*", "content-md5": base64.b64encode(md5).decode()}
        signed = sha256 or "UNSIGNED-PAYLOAD"
        key = f"{self.prefix}{name}"
        return self.ask("PUT", key, body=source, size=size, signed=signed, headers=told)

    def close(self) -> None:
        """Let go of the connections."""
        while self._idle:
            self._idle.pop().close()

    def ask(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes | IO[bytes] = b"",
        size: int = 0,
        signed: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request. `body`: bytes, or a file of `size` bytes. `signed` is the SHA-256 (hex) that
        is told of it, if not that of the bytes. Raises WrongStore, NotReached, SendInterrupted."""
        if isinstance(body, bytes):
            signed = signed or hashlib.sha256(body).hexdigest()
            size, body = len(body), io.BytesIO(body)
        address = urlsplit(self.endpoint)
        path = _quoted(f"{address.path.rstrip('/')}/{self.bucket}/{key}".rstrip("/"), "/")
        asked = sorted((query or {}).items())
        words = "&".join(f"{_quoted(k)}={_quoted(v)}" for k, v in asked)
        told = {"host": address.netloc, "x-amz-content-sha256": signed, **(headers or {})}
        told |= self._authorisation(method, path, words, told, signed, datetime.now(UTC))
        told["content-length"] = str(size)
        target = f"{path}?{words}" if words else path
        host = address.hostname or ""
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                answer = self._exchange(self._fresh(), method, target, told, body, size)
            else:
                try:
                    answer = self._exchange(connection, method, target, told, body, size)
                except (ConnectionError, ssl.SSLError):
                    # The engine had let go of a connection that was kept.
                    body.seek(0)
                    answer = self._exchange(self._fresh(), method, target, told, body, size)
        except (NotPossible, WrongStore):
            raise
        except (ssl.SSLError, http.client.HTTPException) as error:
            raise SendInterrupted(
                f"What answered at {host} broke off.", "It is tried again."
            ) from error
        except OSError as error:
            raise not_reached(host) from error
        if 300 <= answer.status < 400:
            told_why = meaning(host, answer.status, answer.body.decode(errors="replace"))
            if isinstance(told_why, WrongPlace):
                raise told_why
            raise WrongStore(
                f"The store at {host} wanted to send this kit elsewhere. Nothing was sent there.",
                "Ask your service for the right address of its store.",
            )
        return answer

    def _fresh(self) -> http.client.HTTPSConnection:
        address = urlsplit(self.endpoint)
        connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, context=self.context, timeout=self.patience
        )
        try:
            connection.connect()
        except ssl.SSLError as error:
            raise not_the_store(address.hostname or "", error=error) from error
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        target: str,
        told: Mapping[str, str],
        source: IO[bytes],
        size: int,
    ) -> Answer:
        end = time.monotonic() + self.patience + size / SLOWEST
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in told.items():
                connection.putheader(name, value)
            connection.endheaders()
            whole = False
            # An engine that refuses something need not hear it to its end.
            with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
                for piece in pieces(source, BLOCK):
                    connection.send(piece)
                    if time.monotonic() > end:
                        raise TimeoutError("The line is too slow.")
                whole = True
            response = connection.getresponse()
            body = response.read(_LONGEST_ANSWER)
            if not whole and response.status < 400:
                raise http.client.HTTPException("An answer to what it has not heard.")
        except BaseException:
            connection.close()
            raise
        if self.keep and response.isclosed() and not response.will_close:
            self._idle.append(connection)
        else:
            connection.close()
        return Answer(response.status, body, response.headers.get("etag", "").strip('"'))

    def _authorisation(
        self,
        method: str,
        path: str,
        words: str,
        told: Mapping[str, str],
        digest: str,
        now: datetime,
    ) -> dict[str, str]:
        moment = now.strftime("%Y%m%dT%H%M%SZ")
        headers = {**told, "x-amz-date": moment}
        names = ";".join(sorted(headers))
        lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
        request = "\n".join([method, path, words, *lines, "", names, digest])
        scope = f"{moment[:8]}/{self.region}/s3/aws4_request"
        text = (
            f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        )
        key = f"AWS4{self.secret_access_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        return {
            "x-amz-date": moment,
            "authorization": f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}",
        }


def _quoted(text: str, safe: str = "") -> str:
    return quote(text, safe=f"{safe}-_.~")
