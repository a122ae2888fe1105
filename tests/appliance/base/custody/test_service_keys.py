"""docs/service-keys.md, carried out as it stands: every command, in its order."""

import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from appliance.age.unsealing import unseal
from appliance.base.custody.keys import cards_beside
from appliance.errors import NoMatch
from appliance.protocol.audits import StoreAudit
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.objects import NEWEST_AUDIT, tombstone_object
from appliance.protocol.orders import Tombstone
from appliance.records.files import from_json, load_fact, save, to_json
from appliance.vault.keys import HalfKeys, PrivateKeys, read_keys
from firmware.books import KitBooks
from tests.appliance.base.keeping.test_exporting import film
from tests.support.bases import Base
from tests.support.homes import practitioner, service
from tests.support.places import ROOT

PAGE = (ROOT / "docs" / "service-keys.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", PAGE, re.M | re.S)


class Service:
    """A service that does what the page says, in one folder."""

    def __init__(self, root: Path) -> None:
        self.base = Base(root)
        self.base.keys.rename(root / "base")
        self.base.keys = root / "base"
        self.root = root
        self.stolen = self.case = ""
        save(self.base.kit.home.signing_key, self.base.kit.signer.secret_text().encode())

    def follow(self, block: str) -> None:
        attune = Path(sys.executable).parent
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=self.root,
            env={
                "PATH": f"{attune}:{os.environ['PATH']}",
                "STORE": self.base.store.as_uri(),
                "STOLEN": self.stolen,
                "OLD": practitioner().card().name,
                "KIT": self.base.kit.id,
                "CASE": self.case,
            },
            input="y\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"

    def contact(self) -> int:
        """The kit is in contact; returns the number of the card that it goes by then."""
        status = self.base.kit.sync()
        assert status.problems == () and status.state == "sent"
        KitBooks(self.base.kit.home).follow()
        known = load_fact(self.base.kit.home.enrolled, Enrolled)
        assert known is not None
        return known.chain.number

    def opens(self, case: str, key: Path) -> bool:
        """True if this key opens every key file of a case that is at the store."""
        keys = read_keys(key.read_bytes(), lambda: "")
        assert isinstance(keys, HalfKeys) and keys.identity is not None
        for name in self.base.identities(case):
            try:
                unseal((self.base.store / "cases" / case / name).read_bytes(), [keys.identity])
            except NoMatch:
                return False
        return True

    def withdraws(self) -> None:
        """A family that rings the service is withdrawn, and the kit believes it."""
        case = self.base.sent()
        self.base.told("withdraw", case)
        assert self.base.identities(case) == []
        chain = cards_beside(self.base.keys)
        assert chain is not None
        note = (self.base.store / tombstone_object(case)).read_text()
        assert chain.word(note, Tombstone).case == case


@pytest.mark.slow
def test_every_step_of_the_page_can_be_taken_as_it_stands(tmp_path: Path) -> None:
    at = Service(tmp_path)
    case = at.base.sent()
    blocks = iter(BLOCKS)

    for _ in range(4):
        at.follow(next(blocks))
    assert at.contact() == 2
    assert at.opens(case, tmp_path / "safe" / "daily.key") and at.opens(
        case, tmp_path / "escrow.key"
    )
    at.withdraws()
    assert '"attune":"service-card/' in (tmp_path / "base" / "service-setup.pub").read_text()

    at.follow(next(blocks))
    for number in (1, 3):
        sheet = (tmp_path / "shares" / f"share-{number}.txt").read_text()
        (tmp_path / f"share-{number}.txt").write_text(sheet)
    at.follow(next(blocks))

    at.follow(next(blocks))
    assert at.contact() == 3
    at.withdraws()

    at.follow(next(blocks))
    new = PrivateKeys.generate("practitioner")
    save(tmp_path / "new.pub", to_json(new.card()))
    at.follow(next(blocks))
    (sealed,) = (at.base.store / "cases" / case).glob(
        f"identity-*-{new.card().name.removeprefix('practitioner-')}.age"
    )
    assert unseal(sealed.read_bytes(), [new.identity])
    at.base.told("enrol", str(at.base.kit.home.kit / "kit.json"))
    at.follow(next(blocks))
    assert from_json(
        (at.base.store / NEWEST_AUDIT).read_text().partition("\n\n")[0], StoreAudit
    ).opened

    given = at.base.kit.case()
    film(at.base, given, "0" * 64)
    at.base.kit.sync()
    for clip in (at.base.store / "cases" / given.id / "clips").iterdir():
        clip.unlink()  # Random bytes, which cannot be opened.
    at.case = given.id
    save(tmp_path / "reader.pub", to_json(new.card()))
    at.follow(next(blocks))
    sealed_for = unseal((tmp_path / "given.age").read_bytes(), [new.identity])
    with tarfile.open(fileobj=io.BytesIO(sealed_for)) as archive:
        assert any(name.startswith("films/") for name in archive.getnames())

    signing = HalfKeys.parse((tmp_path / "base" / "signing-2.key").read_text())
    assert signing.signer is not None
    at.stolen = signing.signer.verifier.name
    at.follow(next(blocks))
    assert at.contact() == 4
    at.withdraws()

    at.follow(next(blocks))
    assert at.contact() == 5
    assert at.opens(case, tmp_path / "safe" / "daily-2.key")
    assert not at.opens(case, tmp_path / "safe" / "daily.key")
    assert service().identity.secret_text() not in (tmp_path / "safe" / "daily-2.key").read_text()
    at.withdraws()
    assert not list(blocks)
