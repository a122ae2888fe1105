"""One case is opened for somebody who has a right to it, and its secret is never written down."""

import io
import os
import subprocess
import tarfile
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import av
import pytest

from appliance.age.identities import identity_lines
from appliance.age.recipients import parse_recipient
from appliance.age.unsealing import unseal
from appliance.base.keeping.exporting import Exporter, into_file, into_folder, is_encrypted
from appliance.errors import BadInput, CaseWithdrawn, KitError, NotPossible
from appliance.film.manifest import EndReason, FilmEnded, FilmStarted, manifest_lines
from appliance.protocol.cards import KitCard
from appliance.records.files import new_id, to_json
from appliance.stores import open_store
from appliance.vault.cases import Goal, Goals, OpenCase
from appliance.vault.keys import PrivateKeys
from tests.support import consents, films
from tests.support.bases import Base
from tests.support.homes import CLOCK, contents, practitioner, service

NOW = CLOCK.read().wall


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    made = Base(tmp_path)
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    return made


@pytest.fixture
def case(at_base: Base) -> OpenCase:
    """A family whose consent, goals and film are at the service."""
    made = at_base.kit.case()
    agreed = consents.consent((consents.person("Alex", "filming"),), NOW - timedelta(days=1))
    digest = made.write(agreed)
    made.write(Goals(goals=(Goal(id=new_id(), text="To notice when she starts"),)))
    film(at_base, made, digest)
    at_base.kit.sync()
    return made


def film(at_base: Base, case: OpenCase, consent: str) -> Path:
    name = new_id()
    directory = at_base.kit.home.recording(name)
    directory.mkdir(parents=True)
    lines = films.seal_segments(films.film(60), directory, parse_recipient(case.record.recipient))
    started = FilmStarted(
        recording=name, case=case.id, kit=at_base.kit.id, permit=new_id(), consent=consent,
        recipient="0" * 64, kind="visit", limit=300, sound=False, boot="boot", started=NOW,
    )  # fmt: skip
    ended = FilmEnded.after(lines, EndReason.BUTTON, NOW)
    text = at_base.kit.signer.sign(manifest_lines(started, *lines, ended))
    (directory / "manifest").write_text(text)
    return directory


def exporter(at_base: Base, case: str) -> Exporter:
    store = open_store(at_base.store.as_uri())
    people = [practitioner().signer.verifier]
    kits = [KitCard(id=at_base.kit.id, verifier=str(at_base.kit.signer.verifier))]
    return Exporter(store, service().identities, people, kits, case)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def disk(tmp_path: Path, folder: Path, *uuids: str) -> Path:
    """What the kernel says of the disk under `folder`: a device on others, each with its uuid. Each
    is called by links."""
    number = os.stat(folder).st_dev
    devices, blocks = tmp_path / "sys" / "devices", tmp_path / "sys" / "dev" / "block"
    (devices / "this" / "slaves").mkdir(parents=True)
    for place, uuid in enumerate(uuids):
        (devices / f"dm-{place}" / "dm").mkdir(parents=True)
        (devices / f"dm-{place}" / "dm" / "uuid").write_text(uuid)
        (devices / "this" / "slaves" / f"dm-{place}").symlink_to(devices / f"dm-{place}")
    blocks.mkdir(parents=True)
    (blocks / f"{os.major(number)}:{os.minor(number)}").symlink_to(devices / "this")
    return tmp_path / "sys"


def test_films_documents_and_who_is_in_them_lie_on_the_stick(
    at_base: Base, case: OpenCase, stick: Path, tmp_path: Path
) -> None:
    system = disk(tmp_path, stick, "CRYPT-LUKS2-0123-stick")
    with into_folder(stick / "given", system) as place:
        done = exporter(at_base, case.id).export(place)
    given = contents(stick / "given")
    (film,) = [data for name, data in given.items() if name.endswith(".mp4") and "films/" in name]
    with av.open(io.BytesIO(film)) as opened:
        assert sum(1 for _ in opened.decode(video=0)) == 60
        assert opened.streams.video[0].duration * opened.streams.video[0].time_base == Fraction(2)
    assert "Alex (parent), and for Robin" in given["who-is-in-which-film.txt"].decode()
    texts = " ".join(data.decode() for name, data in given.items() if "documents/goals" in name)
    assert "To notice when she starts" in texts and '{"' not in texts
    # The clip of this kit is random bytes: it is told, and kept nothing back.
    assert (done.films, done.documents >= 3, len(done.problems)) == (1, True, 1)
    assert "clips/" in given["read-me.txt"].decode()
    assert {path.stat().st_mode & 0o077 for path in (stick / "given").rglob("*")} == {0}


def test_nothing_that_is_given_out_holds_what_opens_the_case(
    at_base: Base, case: OpenCase, stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    seen = dict[str, bytes]()
    sealed = next(at_base.store.glob(f"cases/{case.id}/identity-*.age")).read_bytes()
    (secret, *_) = identity_lines(unseal(sealed, service().identities).decode())
    with into_folder(stick / "given", disk(tmp_path, stick, "CRYPT-PLAIN-1")) as place:
        giving = exporter(at_base, case.id)
        giving.progress = lambda _name: seen.update(contents(temporary))
        giving.export(place)
    assert seen and not contents(temporary)
    for name, data in (seen | contents(stick)).items():
        assert secret.encode() not in data, name
    assert all(data.startswith(b"age-") for name, data in seen.items() if name.endswith(".age"))


def test_a_file_for_somebody_opens_for_them_alone(
    at_base: Base, case: OpenCase, stick: Path
) -> None:
    reader = PrivateKeys.generate("practitioner")
    card = stick / "reader.pub"
    card.write_bytes(to_json(reader.card()))
    out = stick / "given.age"
    told = at_base.run("export", case.id, "-o", str(out), "--to", str(card))
    assert told.returncode == 3, told.stderr
    assert "1 films" in told.stderr and out.stat().st_mode & 0o077 == 0
    with tarfile.open(fileobj=io.BytesIO(unseal(out.read_bytes(), reader.identities))) as archive:
        names = archive.getnames()
        for_film = next(name for name in names if name.startswith("films/"))
        content = archive.extractfile(for_film)
        assert content is not None and content.read(8)[4:] == b"ftyp"
    assert {"read-me.txt", "log.txt", "who-is-in-which-film.txt"} <= set(names)
    with pytest.raises(KitError):
        unseal(out.read_bytes(), practitioner().identities)
    assert "exported" in (at_base.keys / "ledger" / "log").read_text()


def test_a_file_for_a_key_of_a_weaker_kind_is_refused(
    at_base: Base, case: OpenCase, stick: Path, tmp_path: Path
) -> None:
    card = tmp_path / "weaker.pub"
    card.write_bytes(to_json(PrivateKeys.generate("practitioner", x25519=True).card()))
    told = at_base.run("export", case.id, "-o", str(stick / "given.age"), "--to", str(card))
    assert told.returncode == 1 and "do not mix" in told.stderr and not list(stick.iterdir())


@pytest.mark.parametrize(
    "uuids", [(), ("LVM-1",), ("CRYPT-LUKS2-1", "LVM-2")], ids=["plain", "lvm", "half"]
)
def test_a_disk_that_is_not_encrypted_is_refused_before_anything_is_opened(
    stick: Path, tmp_path: Path, uuids: tuple[str, ...]
) -> None:
    system = disk(tmp_path, stick, *uuids)
    assert not is_encrypted(stick, system)
    with pytest.raises(BadInput, match="encrypted"), into_folder(stick / "given", system):
        pytest.fail("it was opened")
    assert not contents(stick)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_full_stick_is_told_and_has_nothing_half(
    at_base: Base, case: OpenCase, stick: Path, tmp_path: Path, kind: str
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", stick], check=True)
    try:
        into = (
            into_folder(stick / "given", disk(tmp_path, stick, "CRYPT-LUKS2-1"))
            if kind == "folder"
            else into_file(stick / "given.age", practitioner().card().sealing_key())
        )
        with pytest.raises(NotPossible, match=r"room|space"), into as place:
            exporter(at_base, case.id).export(place)
        assert not list(stick.iterdir())
    finally:
        subprocess.run(["umount", stick], check=True)


def test_a_rehearsal_writes_nothing(at_base: Base, case: OpenCase, stick: Path) -> None:
    before = contents(at_base.root)
    told = at_base.told(
        "export", case.id, "-o", str(stick / "given"), "--dry-run", status=3,
    )  # fmt: skip
    assert told["exported"]["films"] == 1 and told["rehearsed"] is True
    assert not list(stick.iterdir()) and contents(at_base.root) == before


def test_of_a_family_that_has_withdrawn_nothing_is_given_out(
    at_base: Base, case: OpenCase, stick: Path, tmp_path: Path
) -> None:
    at_base.kit.withdraw(case.id)
    at_base.kit.sync()
    at_base.told("serve", "--once")
    system = disk(tmp_path, stick, "CRYPT-LUKS2-1")
    with pytest.raises(CaseWithdrawn), into_folder(stick / "given", system) as place:
        exporter(at_base, case.id).export(place)
    assert not list(stick.iterdir())


def test_a_film_that_was_altered_is_told_and_the_others_are_given_out(
    at_base: Base, case: OpenCase, stick: Path, tmp_path: Path
) -> None:
    broken = film(at_base, case, "0" * 64)
    at_base.kit.sync()
    there = at_base.store / "cases" / case.id / "recordings" / broken.name
    (there / "manifest").write_text("rubbish")
    with into_folder(stick / "given", disk(tmp_path, stick, "CRYPT-LUKS2-1")) as place:
        done = exporter(at_base, case.id).export(place)
    assert done.films == 1
    assert any(broken.name in problem for problem in done.problems)
