"""A card that is not as a kit left it: each process says in a sentence what is wrong, and changes
nothing."""

import json
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.config import Config, write_config
from appliance.records.files import new_id
from appliance.records.signing import Signer
from appliance.selftest.doctor import examine
from appliance.selftest.findings import Machine
from appliance.selftest.kit import Process, command, free_port
from firmware.books import KitBooks
from tests.support.homes import CLOCK, contents
from web_ui.system.tls import ensure_certificate, fingerprint

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A kit's settings, with the home of a kit that was started once."""
    config = Config(
        home=str(tmp_path / "home"), run=str(tmp_path / "run"), camera="scene", port=free_port()
    )
    KitBooks(config.places)
    return config


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Mounts something over the home; skips, with the reason, where that is not allowed."""
    mounted: list[str] = []

    def on(folder: str, *arguments: str) -> None:
        done = subprocess.run(
            ["mount", *arguments, folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)

    yield on
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def said(config: Config, process: Process, place: Path) -> str:
    """What a process that cannot start says."""
    settings = place / "attune.toml"
    write_config(settings, config)
    done = subprocess.run(
        command(process, settings), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    return done.stderr


@pytest.mark.parametrize("file", ["kit.json", "enrolled.json", "books.json", "clock-mark.json"])
def test_a_card_of_a_newer_kit_is_named_and_left_as_it_is(
    config: Config, tmp_path: Path, file: str
) -> None:
    path = config.places.kit / file
    found = json.loads(path.read_bytes()) if path.exists() else {}
    kind = {"kit.json": "kit", "enrolled.json": "enrolled", "books.json": "books"}
    tag = f"{kind.get(file, 'clock-mark')}/v7"
    path.write_text(json.dumps(found | {"attune": tag, "more": "than we know"}))
    before = contents(config.places.kit)
    assert tag in (told := said(config, "recorder", tmp_path)) and "update this one" in told
    assert contents(config.places.kit) == before


def test_a_card_whose_key_is_another_kits_is_refused(config: Config, tmp_path: Path) -> None:
    other = Signer.generate(f"kit-{new_id()}")
    (config.places.kit / "signing.key").write_text(other.secret_text() + "\n")
    assert "do not belong together" in said(config, "recorder", tmp_path)


def test_a_card_that_lost_the_kits_key_is_refused_and_gets_no_new_one(
    config: Config, tmp_path: Path
) -> None:
    (config.places.kit / "signing.key").unlink()
    assert "lost its signing key" in said(config, "recorder", tmp_path)
    assert set(contents(config.places.kit)) == {"kit.json"}


def test_a_file_where_a_directory_belongs_is_told(config: Config, tmp_path: Path) -> None:
    shutil.rmtree(config.places.kit)
    config.places.kit.write_text("somebody else's")
    told = said(config, "recorder", tmp_path)
    assert (
        "memory card in this kit could not be read or written" in told
        and str(config.places.kit) in told
    )


@pytest.mark.parametrize("process", ["recorder", "web", "sync"])
def test_a_card_that_can_only_be_read_is_told(
    config: Config, tmp_path: Path, mount: Callable[..., None], process: Process
) -> None:
    mount(config.home, "-t", "tmpfs", "-o", "ro", "tmpfs")
    if process == "sync":
        config = Config(**{**_plain(config), "store": (tmp_path / "store").as_uri()})
    assert "Read-only file system" in said(config, process, tmp_path)
    found = {one.what: one for one in examine(config, Machine(tmp_path, CLOCK, lambda _: None))}
    assert found["card"].verdict == "bad" and "can only be read" in found["card"].saw


@pytest.mark.parametrize("process", ["recorder", "web"])
def test_a_full_card_is_told(
    config: Config, tmp_path: Path, mount: Callable[..., None], process: Process
) -> None:
    mount(config.home, "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    with open(config.places.root / "filler", "wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))
    told = said(config, process, tmp_path)
    assert "No space left on device" in told and "it may be full" in told


@pytest.mark.parametrize("damage", [None, b"", b"x" * 400], ids=["lost", "empty", "damaged"])
@pytest.mark.parametrize("file", ["tls.crt", "tls.key"])
def test_for_a_certificate_that_is_lost_or_damaged_there_is_a_new_one_with_another_fingerprint(
    tmp_path: Path, file: str, damage: bytes | None
) -> None:
    before = fingerprint(ensure_certificate(tmp_path, ("127.0.0.1",))[0])
    (tmp_path / file).unlink()
    if damage is not None:
        (tmp_path / file).write_bytes(damage)
    again = ensure_certificate(tmp_path, ("127.0.0.1",))
    assert fingerprint(again[0]) != before, "the label tells that something happened"
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*again)
    assert ensure_certificate(tmp_path, ("127.0.0.1",)) == again
    assert fingerprint(again[0]) == fingerprint(tmp_path / "tls.crt")


def test_a_certificate_beside_another_ones_key_is_refused(config: Config, tmp_path: Path) -> None:
    config.places.prepare(config.places.keys)
    ensure_certificate(config.places.keys, ("127.0.0.1",))
    (tmp_path / "other").mkdir()
    _, key = ensure_certificate(tmp_path / "other", ("127.0.0.1",))
    shutil.copy(key, config.places.keys / "tls.key")
    assert "do not belong together" in said(config, "web", tmp_path)


def _plain(config: Config) -> dict[str, object]:
    return {name: getattr(config, name) for name in config.__struct_fields__}
