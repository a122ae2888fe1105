"""Real servers on loopback, each made for a test run and gone after it."""

import base64
import contextlib
import hmac
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote, urlencode

import asyncssh
import pytest

from appliance.bench.certificates import Authority
from appliance.selftest.kit import free_port, spawn, wait_for
from appliance.stores import open_store
from appliance.stores.access import Access
from appliance.stores.store import ServiceStore
from appliance.stores.tls import pinned

HERE = Path(__file__).parent
KIT_MAY_NOT = "remove,rmdir,rename,posix-rename,setstat,fsetstat,lsetstat,symlink"
"""As docs/stores.md has it for a kit's account at an SFTP server."""


ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""The one account that the emulator has, and everybody knows."""
_VERSION = "2021-12-02"


@dataclass(frozen=True)
class Server:
    """A store that is there: its address, and how to get in."""

    url: str
    access: Access | None = None
    service: Access | None = None
    """The service's own way in, where that is another than a kit's."""
    service_url: str = ""

    def open(self, patience: float = 20.0) -> ServiceStore:
        return open_store(self.url, self.access, patience)

    def open_as_service(self) -> ServiceStore:
        return open_store(self.service_url or self.url, self.service or self.access)


def write_access(path: Path, access: Access) -> Path:
    """The access file that a service gives out."""
    path.touch(mode=0o600)
    path.write_text(
        "".join(
            f'{name} = """{value}"""\n'
            for name in Access.__struct_fields__
            if (value := getattr(access, name))
        )
    )
    return path


def answers(port: int, address: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
        return True
    return False


@contextlib.contextmanager
def openssh(address: str = "127.0.0.1") -> Iterator[Server]:
    """Debian's OpenSSH. Kit and service come in with keys of their own; one may do less."""
    if not Path("/usr/sbin/sshd").exists():
        pytest.skip("OpenSSH's server is not installed here")
    user = "nobody" if os.getuid() == 0 else os.environ["USER"]
    with tempfile.TemporaryDirectory(prefix="attune-sftp-") as place:
        root = Path(place)
        root.chmod(0o755)
        folder = root / "store"
        folder.mkdir()
        shutil.chown(folder, user)
        host, kit, service = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))
        host.write_private_key(str(root / "host"))
        (root / "host").chmod(0o600)
        known = kit.export_public_key().decode().strip()
        (root / "authorized").write_text(
            f'restrict,command="internal-sftp -P {KIT_MAY_NOT}" {known}\n'
            f'restrict,command="internal-sftp" {service.export_public_key().decode()}'
        )
        port = free_port()
        (root / "sshd_config").write_text(
            f"Port {port}\nListenAddress {address}\nHostKey {root}/host\nPidFile none\n"
            f"AuthorizedKeysFile {root}/authorized\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nSubsystem sftp internal-sftp\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        server = spawn(
            ["/usr/sbin/sshd", "-D", "-e", "-f", f"{root}/sshd_config"], root / "sshd.log"
        )
        try:
            wait_for("OpenSSH answers", lambda: answers(port, address), 20)
            pin = host.export_public_key().decode()
            url = f"sftp://{user}@{address}:{port}{quote(str(folder))}"

            def access(key: asyncssh.SSHKey) -> Access:
                return Access(pin=pin, private_key=key.export_private_key().decode())

            yield Server(url, access(kit), access(service))
        finally:
            _end(server)


@contextlib.contextmanager
def azurite(authority: Authority) -> Iterator[Server]:
    """Microsoft's own emulator of Azure's blobs, from npm, with TLS and a container `films`."""
    program = HERE / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        pytest.skip("Azurite is not installed here: npm ci in tests/stores")
    with tempfile.TemporaryDirectory(prefix="attune-azurite-") as place:
        root = Path(place)
        certificate, key = authority.issue(root, "azurite", ["localhost", "127.0.0.1"])
        port = free_port()
        server = spawn(
            [str(program), "--location", str(root), "--blobPort", str(port), "--silent",
             "--skipApiVersionCheck", "--disableTelemetry",
             "--cert", str(certificate), "--key", str(key)],
            root / "azurite.log",
        )  # fmt: skip
        try:
            wait_for("Azurite answers", lambda: answers(port), 60)
            endpoint = f"https://127.0.0.1:{port}/devstoreaccount1"
            _make_container(port, authority)
            yield Server(
                f"az://films?account={ACCOUNT}&endpoint={endpoint}",
                Access(pin=authority.pem, sas_token=_sas("rcl")),
                Access(pin=authority.pem, account_key=ACCOUNT_KEY),
            )
        finally:
            _end(server)


def _make_container(port: int, authority: Authority) -> None:
    now = format_datetime(datetime.now(UTC), usegmt=True)
    empty = "\n" * 12
    text = (
        f"PUT{empty}x-ms-date:{now}\nx-ms-version:{_VERSION}\n"
        f"/{ACCOUNT}/{ACCOUNT}/films\nrestype:container"
    )
    connection = http.client.HTTPSConnection(
        "127.0.0.1", port, context=pinned(authority.pem), timeout=20
    )
    headers = {
        "x-ms-date": now,
        "x-ms-version": _VERSION,
        "content-length": "0",
        "authorization": f"SharedKey {ACCOUNT}:{_signed(text)}",
    }
    connection.request("PUT", f"/{ACCOUNT}/films?restype=container", headers=headers)
    response = connection.getresponse()
    assert response.status == 201, response.read()
    connection.close()


def _sas(permissions: str) -> str:
    """A shared access signature for the container, for a day: r read, c create, l list."""
    until = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = "\n".join(
        [
            permissions,
            "",
            until,
            f"/blob/{ACCOUNT}/films",
            "",
            "",
            "https",
            _VERSION,
            "c",
            *[""] * 7,
        ]
    )
    fields = {
        "sp": permissions, "se": until, "spr": "https", "sv": _VERSION, "sr": "c",
        "sig": _signed(text),
    }  # fmt: skip
    return urlencode(fields)


def _signed(text: str) -> str:
    key = base64.b64decode(ACCOUNT_KEY)
    return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
