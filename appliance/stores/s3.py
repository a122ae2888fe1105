"""The few things that obstore cannot ask an S3 engine: to refuse a wrong checksum, and to remove
every version of an object.

One signed request at a time, by AWS Signature Version 4 (docs.aws.amazon.com, "Signature
Calculations for the Authorization Header"). No redirect is ever followed.
"""

import base64
import contextlib
import hashlib
import hmac
import http.client
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from appliance.errors import NotLetIn, SendInterrupted, WrongStore
from appliance.stores.tls import not_reached, not_the_store

PROBE = "probe/wrong-checksum"
"""Where a store that takes a body with a wrong checksum keeps it, once: a kit cannot remove it."""

_LONGEST_ANSWER = 16 << 20
_MISMATCHES = (b"XAmzContentSHA256Mismatch", b"BadDigest", b"ContentSHA256Mismatch")


@dataclass(frozen=True)
class Bucket:
    """A bucket at an S3 engine, or a prefix of one."""

    endpoint: str
    region: str
    bucket: str
    prefix: str
    """'' or something that ends in a slash."""
    access_key_id: str
    secret_access_key: str = field(repr=False)
    context: ssl.SSLContext = field(repr=False)
    patience: float = 60.0

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
            status, answer = self.ask(
                "PUT", f"{self.prefix}{PROBE}", body=body, signed=signed, headers=headers
            )
            if status != 400 or not any(code in answer for code in _MISMATCHES):
                return False
        return True

    def remove_versions(self, prefix: str) -> tuple[str, ...]:
        """Remove every version of every object whose name starts so; returns the names."""
        removed = set()
        for key, version in list(self._versions(f"{self.prefix}{prefix}")):
            self._done(*self.ask("DELETE", key, {"versionId": version}))
            removed.add(key.removeprefix(self.prefix))
        return tuple(sorted(removed))

    def _versions(self, prefix: str) -> Iterator[tuple[str, str]]:
        # Only the service's program needs it, and every import costs a kit memory.
        import xml.etree.ElementTree as ElementTree

        query = {"versions": "", "prefix": prefix}
        while True:
            status, answer = self.ask("GET", "", query)
            self._done(status, answer)
            page = ElementTree.fromstring(answer)  # noqa: S314 - of the pinned store, and short
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

    def _done(self, status: int, answer: bytes) -> None:
        if status in (401, 403):
            raise NotLetIn(
                "The store does not let this program remove anything.",
                "Give the service's own access file, not a kit's.",
            )
        if not 200 <= status < 300:
            raise SendInterrupted(f"The store answered {status}.", "It is tried again.")

    def ask(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        signed: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """One request; the status and what was answered. `signed` is the SHA-256 (hex) that is
        told of `body`, if not its own. Raises WrongStore, NotReached, SendInterrupted."""
        address = urlsplit(self.endpoint)
        host = address.hostname or ""
        path = _quoted(f"{address.path.rstrip('/')}/{self.bucket}/{key}".rstrip("/"), "/")
        words = "&".join(f"{_quoted(k)}={_quoted(v)}" for k, v in sorted((query or {}).items()))
        digest = signed or hashlib.sha256(body).hexdigest()
        told = {"host": address.netloc, "x-amz-content-sha256": digest, **(headers or {})}
        told |= self._authorisation(method, path, words, told, digest, datetime.now(UTC))
        connection = http.client.HTTPSConnection(
            host, address.port, context=self.context, timeout=self.patience
        )
        with contextlib.closing(connection):
            try:
                connection.request(method, f"{path}?{words}" if words else path, body, told)
                response = connection.getresponse()
                status, answer = response.status, response.read(_LONGEST_ANSWER)
            except ssl.SSLError as error:
                raise not_the_store(host) from error
            except OSError as error:
                raise not_reached(host) from error
            except http.client.HTTPException as error:
                raise SendInterrupted(
                    f"What answered at {host} broke off.", "It is tried again."
                ) from error
        if 300 <= status < 400:
            raise WrongStore(
                f"The store at {host} wanted to send this kit elsewhere. Nothing was sent there.",
                "Ask your service for the right address of its store.",
            )
        return status, answer

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
