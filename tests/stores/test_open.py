"""At base a film is opened straight from the store, with the service's key."""

import contextlib
import io
from pathlib import Path

import pytest

from appliance.base.orders import make_new
from appliance.bench.ceph import Ceph
from appliance.commands.main import run
from appliance.errors import BadInput
from appliance.protocol.cards import KitCard
from appliance.records.audit import Log
from appliance.records.clock import SystemClock
from appliance.records.files import new_id, save, save_fact
from appliance.stores import open_store, split_film_url
from appliance.sync.sender import Manner, Sender
from tests.stores.servers import write_access
from tests.support.pages import WebKit, service


def test_a_film_in_a_store_opens_and_plays_and_is_audited_there(ceph: Ceph, tmp_path: Path) -> None:
    name = f"b-{new_id()}"
    ceph.make_bucket(name)
    url = ceph.url(name)
    with contextlib.closing(open_store(url, ceph.access("service"))) as store:
        make_new(store, service())
    with WebKit(tmp_path / "kit") as kit:
        kit.unlock()
        case = kit.make_case()
        film = kit.recorder.write_film(case, kit.recipient(case))
        home = kit.home
        card = KitCard(id="abcdefghijklmnop", verifier=str(kit.recorder.signer.verifier))
        save_fact(home.kit / "kit.json", card)
        home.prepare(home.receipts)
        log = Log(home.log("sync"), SystemClock())
        sender = Sender(
            home,
            lambda: open_store(url, ceph.access()),
            SystemClock(),
            log,
            lambda _: None,
            Manner(4),
        )
        assert sender.run().state == "sent"
    save(tmp_path / "service.key", service().text().encode(), mode=0o600)
    access = write_access(tmp_path / "access.toml", ceph.access("service"))
    out = tmp_path / "film.mp4"
    address = url.replace("?", f"/cases/{case}/recordings/{film}?")
    command = ["open", address, "-i", str(tmp_path / "service.key"), "--access", str(access)]
    assert run([*command, "-o", str(out)]) == 0
    assert out.read_bytes()[4:8] == b"ftyp"
    assert not list(Path("/tmp").glob("attune-sealed-*"))
    audit = ["verify", url, "--access", str(access)]
    assert run([*audit, "--kit-key", str(kit.recorder.signer.verifier)]) == 0
    assert run(audit) == 3
    with contextlib.closing(open_store(url, ceph.access("service"))) as store:
        store.remove(f"cases/{case}/recordings/{film}/0000.mp4.age")
        store.create(f"cases/{case}/recordings/{film}/0000.mp4.age", io.BytesIO(b"another"))
    assert run([*audit, "--kit-key", str(kit.recorder.signer.verifier)]) == 1
    missing = url.replace("?", f"/cases/{case}/recordings/{new_id()}?")
    assert run([*command[:1], missing, *command[2:], "-o", str(tmp_path / "x")]) == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("path", ["", "/cases/x", "/cases/abcdefghijklmnop/recordings/../x"])
def test_what_is_no_films_address_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="not the address of a film"):
        split_film_url(f"s3://films{path}?endpoint=https://localhost")


def test_the_store_is_what_stands_before_the_case() -> None:
    film = f"/cases/{'a' * 16}/recordings/{'b' * 16}"
    for root in ("s3://films/some/prefix", "sftp://me@host:22/srv", "az://films"):
        assert split_film_url(f"{root}{film}?x=y") == (f"{root}?x=y", "a" * 16, "b" * 16)
