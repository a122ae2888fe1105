"""The service's rounds at a real server, with what somebody plants there who has a kit's way in."""

import contextlib
import io
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from appliance.base.desk import Desk
from appliance.base.ledger import Ledger
from appliance.base.orders import make_new
from appliance.base.voices import Voices
from appliance.base.watch.lease import Turn
from appliance.errors import AnotherBase, StoreFull
from appliance.protocol.objects import tombstone_object
from appliance.records.audit import Log
from appliance.stores import open_store
from appliance.stores.folder import FolderStore
from appliance.stores.store import read_small
from appliance.sync.sender import Sender
from tests.stores.servers import Server, openssh
from tests.support.homes import CLOCK, SendingKit, practitioner, service


def folder_of(sftp: Server) -> Path:
    """The folder that kits reach over SFTP."""
    return Path(unquote(urlsplit(sftp.url).path))


def test_folders_where_files_belong_stop_no_family_at_an_sftp_server(
    sftp: Server, tmp_path: Path
) -> None:
    if shutil.which("sshd") is None and not Path("/usr/sbin/sshd").exists():
        pytest.skip("there is no sshd here")
    with contextlib.closing(sftp.open_as_service()) as at_service:
        for entry in list(at_service.list("")):
            at_service.purge(entry.name)
        make_new(at_service, service())
        kit = SendingKit(tmp_path / "kit", tmp_path / "nowhere")
        case, other = kit.case().id, kit.case().id
        kit.home.prepare(kit.home.receipts, kit.home.inbox)
        log = Log(kit.home.log("sync"), CLOCK)
        opened = lambda: open_store(sftp.url, sftp.access)  # noqa: E731

        def sent() -> str:
            return Sender(kit.home, opened, CLOCK, log, lambda status: None).run().state

        assert sent() == "sent"
        for one in (case, other):
            kit.withdraw(one)
        with contextlib.closing(sftp.open()) as at_kit:
            for name in (
                tombstone_object(case),
                f"cases/{case}/identity-0002.age/inside",
                f"kits/{kit.id}/orders/000001",
            ):
                at_kit.run(at_kit._client.makedirs(at_kit._path(name)))
        assert sent() == "incomplete"
        ledger = Ledger(tmp_path, service().signer, CLOCK)
        with ledger.at_work():
            voices = Voices(at_service, service(), [practitioner().card()], [], ledger)
            outcomes = Desk(at_service, service(), voices, ledger, CLOCK).work()
        assert [outcome.state for outcome in outcomes] == ["done", "done"]
        for one in (case, other):
            assert not list(at_service.list(f"cases/{one}/identity-"))
            assert read_small(at_service, tombstone_object(one))


@pytest.mark.parametrize("junk", ["lease", "lease/0", "lease/000000000001", "lease/a/b"])
def test_no_junk_where_leases_lie_locks_base_out_or_lets_two_in(
    server: Server, tmp_path: Path, junk: str
) -> None:
    with contextlib.closing(server.open()) as at_kit:
        at_kit.create(f"service/{junk}", io.BytesIO(b"junk"))
    with contextlib.closing(server.open_as_service()) as at_service:
        for name in ("keys", "copy"):
            (tmp_path / name).mkdir()
        one, other = (Turn(tmp_path / name, service(), CLOCK) for name in ("keys", "copy"))
        one.take(at_service)
        assert len(list(at_service.list("service/lease"))) == 1
        with pytest.raises(AnotherBase):
            other.take(at_service)
        one.leave(at_service)
        other.take(at_service)
        other.leave(at_service)
        assert not list(at_service.list("service/lease"))


def test_the_program_beside_an_sftp_store_keeps_no_kit_out(tmp_path: Path) -> None:
    """As the guide has it: base comes as root, over the folder itself, and kits over SFTP."""
    if os.getuid() != 0:
        pytest.skip("only root is another user than the kits")
    kit = SendingKit(tmp_path / "kit", tmp_path / "nowhere")
    kit.home.prepare(kit.home.receipts, kit.home.inbox)
    log = Log(kit.home.log("sync"), CLOCK)
    # A store of its own: what root has made there, no other test could clear.
    with openssh() as sftp, contextlib.closing(FolderStore(folder_of(sftp))) as at_service:

        def sent() -> str:
            opened = lambda: open_store(sftp.url, sftp.access)  # noqa: E731
            return Sender(kit.home, opened, CLOCK, log, lambda status: None).run().state

        make_new(at_service, service())
        first, second = kit.case().id, kit.case().id
        assert sent() == "sent"
        for case in (first, second):
            kit.withdraw(case)
            assert sent() == "sent"
            ledger = Ledger(tmp_path, service().signer, CLOCK)
            with ledger.at_work():
                voices = Voices(at_service, service(), [practitioner().card()], [], ledger)
                Desk(at_service, service(), voices, ledger, CLOCK).work()
            assert read_small(at_service, tombstone_object(case))
            # What base has made is no wall.
            kit.case()
            assert sent() == "sent"
            assert any(kit.home.inbox.iterdir())


def test_a_full_disk_behind_an_sftp_server_is_told_as_one(sftp: Server) -> None:
    folder = folder_of(sftp) / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0777", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        with contextlib.closing(open_store(f"{sftp.url}/full", sftp.access)) as store:
            with pytest.raises(StoreFull):
                store.create("cases/abc/film", io.BytesIO(b"x" * (1 << 20)))
            assert not list(store.list("cases/"))
    finally:
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)
        folder.rmdir()
