"""The stores that these tests speak to: each a real server, started once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncssh
import msgspec
import pytest

from appliance.bench.ceph import Ceph
from appliance.bench.certificates import Authority
from appliance.errors import NotPossible
from appliance.stores import open_store
from appliance.stores.store import ServiceStore
from tests.stores.servers import Server, azurite, openssh


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Ceph]:
    try:
        gateway = Ceph(tmp_path_factory.mktemp("ceph") / "root", authority)
    except NotPossible as missing:
        pytest.skip(str(missing))
    with gateway:
        yield gateway


@pytest.fixture(scope="session")
def azure(authority: Authority) -> Iterator[Server]:
    with azurite(authority) as server:
        yield server


@pytest.fixture(scope="session")
def sftp() -> Iterator[Server]:
    with openssh() as server:
        yield server


@pytest.fixture(params=["file", "sftp", "s3", "az"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    """Each kind of store in turn, with nothing in it."""
    if request.param == "file":
        (tmp_path / "service").mkdir()
        return Server((tmp_path / "service").as_uri())
    if request.param == "s3":
        ceph: Ceph = request.getfixturevalue("ceph")
        found = Server(ceph.url(), ceph.access(), ceph.access("service"))
    else:
        found = request.getfixturevalue({"sftp": "sftp", "az": "azure"}[request.param])
    place = found.open_as_service()
    for entry in list(place.list("")):
        place.purge(entry.name)
    place.close()
    return found


@pytest.fixture
def wrong_access() -> Callable[[Server], ServiceStore]:
    """Opens a store with a credential that is well formed and not its own."""

    def opened(server: Server) -> ServiceStore:
        assert server.access is not None
        other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
        changed = {
            "sftp": {"private_key": other},
            "s3": {"secret_access_key": "0" * 40},
            "az": {"sas_token": server.access.sas_token[:-8] + "AAAA%3D"},
        }[urlsplit(server.url).scheme]
        return open_store(server.url, msgspec.structs.replace(server.access, **changed), 20.0)

    return opened
