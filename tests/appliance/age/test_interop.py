"""Other people's age tools and ours, both ways: nobody must depend on us to open what we sealed.

Debian's `age` and pyrage know X25519 and passphrases; typage (npm `age-encryption`) knows the
post-quantum type too.
"""

import shutil
import subprocess
from pathlib import Path

import pyrage
import pytest

from appliance.age.identities import generate_identity, parse_identity
from appliance.age.keyfile import load_identities
from appliance.age.recipients import parse_recipient
from appliance.age.scrypt import ScryptRecipient
from appliance.age.sealing import CHUNK, seal
from appliance.age.unsealing import Identity, unseal
from appliance.vault.keys import PrivateKeys, lock, unlock
from tests.support.places import ROOT, TESTS

pytestmark = pytest.mark.interop

TYPAGE = TESTS / "typage" / "open.mjs"
EDGES = (0, 1, 15, 16, 17, 4095, *(n * CHUNK + d for n in (1, 2, 3) for d in (-1, 0, 1)), 1_000_003)
PASSPHRASE = "lobe kadu vano resi jutu hapo"
X25519 = generate_identity(x25519=True)
HYBRID = generate_identity()
BOTH_KINDS = pytest.mark.parametrize("key", [X25519, HYBRID], ids=["x25519", "hybrid"])


def film(size: int) -> bytes:
    return b"".join(n.to_bytes(4, "big") for n in range(size // 4 + 1))[:size]


@pytest.fixture
def age(tmp_path: Path) -> str:
    found = shutil.which("age")
    assert found, "age is missing: `make test` installs it"
    (tmp_path / "key").write_text(X25519.secret_text() + "\n")
    return found


def run(*command: object, data: bytes = b"") -> bytes:
    done = subprocess.run(
        [str(part) for part in command], input=data, capture_output=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def typage(order: str, keys: str, files: list[bytes], folder: Path) -> list[bytes]:
    """What typage makes of these files, in one start of node."""
    (folder / "keys").write_text(keys + "\n")
    names = []
    for number, data in enumerate(files):
        (folder / f"{number}.in").write_bytes(data)
        names += [folder / f"{number}.in", folder / f"{number}.out"]
    run("node", TYPAGE, order, folder / "keys", *names)
    return [name.read_bytes() for name in names[1::2]]


@pytest.mark.parametrize("size", EDGES)
def test_age_opens_what_we_seal(age: str, tmp_path: Path, size: int) -> None:
    sealed = seal(film(size), [generate_identity(True).recipient, X25519.recipient])
    assert run(age, "--decrypt", "-i", tmp_path / "key", data=sealed) == film(size)


@pytest.mark.parametrize("size", EDGES)
def test_we_open_what_age_seals(age: str, size: int) -> None:
    sealed = run(age, "-r", X25519.recipient, data=film(size))
    assert unseal(sealed, [X25519]) == film(size)


@pytest.mark.parametrize("size", EDGES)
def test_we_open_the_text_form_that_age_writes(age: str, size: int) -> None:
    sealed = run(age, "--armor", "-r", X25519.recipient, data=film(size))
    assert sealed.startswith(b"-----BEGIN")
    assert unseal(sealed, [X25519]) == film(size)


def test_our_key_file_is_an_identity_file_of_age(age: str, tmp_path: Path) -> None:
    keys = PrivateKeys.generate("service", x25519=True)
    (tmp_path / "ours").write_text(keys.text())
    sealed = seal(b"x", [keys.identity.recipient])
    assert run(age, "--decrypt", "-i", tmp_path / "ours", data=sealed) == b"x"


def test_we_read_the_key_file_of_age(tmp_path: Path) -> None:
    run("age-keygen", "-o", tmp_path / "theirs")
    recipient = run("age-keygen", "-y", tmp_path / "theirs").decode()
    (identity,) = load_identities(tmp_path / "theirs")
    assert identity.recipient == parse_recipient(recipient)


def test_pyrage_opens_what_we_seal_and_we_what_it_seals() -> None:
    theirs = pyrage.x25519.Identity.from_str(X25519.secret_text())
    assert str(theirs.to_public()) == str(X25519.recipient)
    for size in EDGES:
        assert pyrage.decrypt(seal(film(size), [X25519.recipient]), [theirs]) == film(size)
        assert unseal(pyrage.encrypt(film(size), [theirs.to_public()]), [X25519]) == film(size)
        assert unseal(
            pyrage.encrypt(film(size), [theirs.to_public()], armored=True), [X25519]
        ) == film(size)


def test_pyrage_opens_our_locked_keys() -> None:
    keys = PrivateKeys.generate("practitioner")
    locked = lock(keys, PASSPHRASE, work=10)
    assert pyrage.passphrase.decrypt(locked, PASSPHRASE).decode() == keys.text()


@BOTH_KINDS
def test_typage_opens_what_we_seal(key: Identity, tmp_path: Path) -> None:
    other = generate_identity(x25519=key.kind == "x25519")
    files = [seal(film(size), [other.recipient, key.recipient]) for size in EDGES]
    opened = typage("open", key.secret_text(), files, tmp_path)
    assert opened == [film(size) for size in EDGES]


@BOTH_KINDS
def test_we_open_what_typage_seals(key: Identity, tmp_path: Path) -> None:
    other = generate_identity(x25519=key.kind == "x25519")
    recipients = f"{other.recipient}\n{key.recipient}"
    sealed = typage("seal", recipients, [film(size) for size in EDGES], tmp_path)
    assert [unseal(data, [key]) for data in sealed] == [film(size) for size in EDGES]


def test_typage_opens_our_locked_keys_and_we_what_it_locks(tmp_path: Path) -> None:
    keys = PrivateKeys.generate("practitioner")
    locked = lock(keys, PASSPHRASE, work=12)
    assert typage("unlock", PASSPHRASE, [locked], tmp_path) == [keys.text().encode()]
    (theirs,) = typage("lock", PASSPHRASE, [keys.text().encode()], tmp_path)
    assert unlock(theirs, PASSPHRASE).text() == keys.text()


def test_typage_and_we_make_the_same_recipient_of_the_same_secret(tmp_path: Path) -> None:
    # typage seals to what we say the recipient is, and opens it with the secret alone.
    (sealed,) = typage("seal", str(HYBRID.recipient), [b"x"], tmp_path)
    assert typage("open", HYBRID.secret_text(), [sealed], tmp_path) == [b"x"]
    assert unseal(sealed, [parse_identity(HYBRID.secret_text())]) == b"x"


def test_a_document_under_a_passphrase_opens_in_typage(tmp_path: Path) -> None:
    sealed = seal(b"copy for the family", [ScryptRecipient(PASSPHRASE, work=12)])
    assert typage("unlock", PASSPHRASE, [sealed], tmp_path) == [b"copy for the family"]
