"""What can stand between a kit and its store: a proxy with the store's own certificate, or with
another, that passes requests on and does harm on the way."""

import contextlib
import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from appliance.bench.certificates import Authority
from appliance.stores.tls import pinned


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What goes back. `cut` ends the line after so many bytes of the body."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: int | None = None


Passing = Callable[[Asked], Answer]
Harm = Callable[[Asked, Passing], Answer | None]
"""What is done with a request, and how to pass it on; None hangs up without an answer."""


@dataclass
class Proxy:
    """A store's double. `harm` may be changed while it runs."""

    endpoint: str
    harm: Harm
    asked: list[Asked] = field(default_factory=list)

    @property
    def bytes_of(self) -> dict[str, int]:
        """How many bytes of body came for each object, all tries together."""
        found: dict[str, int] = {}
        for asked in list(self.asked):
            if asked.method == "PUT":
                found[asked.path] = found.get(asked.path, 0) + len(asked.body)
        return found


def honest(asked: Asked, passing: Passing) -> Answer:
    return passing(asked)


@contextlib.contextmanager
def standing_between(
    endpoint: str, authority: Authority, folder: Path, trusted: Authority, harm: Harm = honest
) -> Iterator[Proxy]:
    """A proxy in front of the store at `endpoint`, with a certificate of `authority`."""
    behind = urlsplit(endpoint)
    context = pinned(trusted.pem)

    def passing(asked: Asked) -> Answer:
        connection = http.client.HTTPSConnection(
            behind.hostname or "", behind.port, context=context, timeout=60
        )
        with contextlib.closing(connection):
            # Signed for the address that the kit knows, so its Host goes along.
            connection.putrequest(
                asked.method, asked.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in asked.headers.items():
                connection.putheader(name, value)
            connection.endheaders(asked.body)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def handle_one_request(self) -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                super().handle_one_request()
                return
            self.close_connection = True

        def _any(self) -> None:
            length = int(self.headers.get("content-length", 0))
            asked = Asked(
                self.command, self.path, dict(self.headers.items()), self.rfile.read(length)
            )
            proxy.asked.append(asked)
            answer = proxy.harm(asked, passing)
            if answer is None:
                self.close_connection = True
                return
            self.send_response_only(answer.status)
            length_told = answer.headers.get("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length_told)
            self.end_headers()
            body = answer.body if answer.cut is None else answer.body[: answer.cut]
            if self.command != "HEAD":
                self.wfile.write(body)
            if answer.cut is not None:
                self.wfile.flush()
                self.close_connection = True

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _any

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a test says what it saw."""

    certificate, key = authority.issue(folder, "proxy", ["localhost", "127.0.0.1"])
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate, key)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self):  # type: ignore[no-untyped-def]
            wire, address = super().get_request()
            return own.wrap_socket(wire, server_side=True, do_handshake_on_connect=False), address

        def handle_error(self, request: object, client_address: object) -> None:
            """Somebody who did not like the certificate."""

    server = Server(("127.0.0.1", 0), Handler)
    proxy = Proxy(f"https://127.0.0.1:{server.server_address[1]}", harm)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
