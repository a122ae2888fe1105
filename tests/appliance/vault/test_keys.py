"""Keys in their written forms, and what lies under a passphrase."""

import os
import stat
from pathlib import Path

import pytest

from appliance.age.identities import generate_identity
from appliance.age.scrypt import LEAST_WORK, MOST_WORK, ScryptIdentity, ScryptRecipient
from appliance.age.sealing import seal
from appliance.age.unsealing import Identity, unseal
from appliance.errors import BadFile, BadInput, Incomplete, NotOpened, NotPossible, WrongPassphrase
from appliance.protocol.cards import Card, KeyRole, Role
from appliance.records.files import from_json, to_json
from appliance.records.signing import Signer, open_note
from appliance.vault.keys import HalfKeys, PrivateKeys, change_passphrase, lock, read_keys, unlock
from appliance.vault.passphrases import make_passphrase

GOOD = "lobe kadu vano resi jutu hapo"
OTHER = "violin gravel ostrich tepid marzipan"
KEYS = PrivateKeys.generate("practitioner", x25519=True)
LOCKED = lock(KEYS, GOOD, work=10)


@pytest.fixture(params=[True, False], ids=["x25519", "hybrid"])
def identity(request: pytest.FixtureRequest) -> Identity:
    return generate_identity(x25519=request.param)


def test_no_secret_shows_itself_in_a_repr(identity: Identity) -> None:
    secret = identity.secret_text()
    keys = PrivateKeys(identity, Signer.generate("service-x"))
    shown = f"{identity!r}{identity}{keys!r}{keys}{ScryptIdentity(GOOD)!r}{ScryptRecipient(GOOD)!r}"
    assert secret not in shown
    assert GOOD not in shown
    assert secret[30:60] not in shown.upper()


@pytest.mark.parametrize("role", ["service", "practitioner"])
def test_a_card_holds_the_public_half_and_nothing_secret(role: Role) -> None:
    keys = PrivateKeys.generate(role)
    card = keys.card()
    assert from_json(to_json(card), Card) == card
    assert (card.role, card.name) == (role, keys.signer.verifier.name)
    assert card.name.startswith(f"{role}-")
    assert unseal(seal(b"x", [card.sealing_key()]), [keys.identity]) == b"x"
    assert open_note(keys.signer.sign("so\n"), [card.verifying_key()])[0] == "so\n"
    for secret in (keys.identity.secret_text(), keys.signer.secret_text()):
        assert secret.encode() not in to_json(card)


@pytest.mark.parametrize("field", ["role", "name", "recipient", "verifier"])
def test_a_card_whose_parts_do_not_fit_is_refused(field: str) -> None:
    mine, other = KEYS.card(), PrivateKeys.generate("service").card()
    if field == "recipient":
        other_end = "q" if mine.recipient[-1] == "p" else "p"
        altered = mine.recipient[:-1] + other_end
        spoilt = to_json(mine).replace(mine.recipient.encode(), altered.encode())
    else:
        old, new = (str(getattr(card, field)).encode() for card in (mine, other))
        spoilt = to_json(mine).replace(b'"' + old + b'"', b'"' + new + b'"')
    assert spoilt != to_json(mine)
    with pytest.raises(BadFile):
        from_json(spoilt, Card)


def test_a_key_file_read_again_is_the_same_keys() -> None:
    for x25519 in (True, False):
        keys = PrivateKeys.generate("service", x25519)
        assert PrivateKeys.parse(keys.text()).text() == keys.text()


def test_a_key_file_put_together_from_two_is_refused() -> None:
    other = PrivateKeys.generate("practitioner", x25519=True)
    mine, theirs = KEYS.text().splitlines(), other.text().splitlines()
    for line in range(4):
        mixed = "\n".join([*mine[:line], theirs[line], *mine[line + 1 :]])
        with pytest.raises(BadFile):
            PrivateKeys.parse(mixed)
        with pytest.raises(BadFile):
            PrivateKeys.parse("\n".join([*mine[:line], *mine[line + 1 :]]))


def test_locked_keys_open_with_their_passphrase_and_with_no_other() -> None:
    assert unlock(LOCKED, GOOD).text() == KEYS.text()
    for wrong in ("", GOOD[:-1], GOOD.upper(), make_passphrase()):
        with pytest.raises(WrongPassphrase):
            unlock(LOCKED, wrong)


def test_spaces_and_the_way_an_accent_was_typed_do_not_lock_anybody_out() -> None:
    composed = "caf\N{LATIN SMALL LETTER E WITH ACUTE} lobe kadu vano resi jutu"
    decomposed = "cafe\N{COMBINING ACUTE ACCENT} lobe kadu vano resi jutu"
    assert unlock(lock(KEYS, composed, work=10), decomposed).text() == KEYS.text()
    assert unlock(LOCKED, f"  {GOOD.replace(' ', '  ')}\n").text() == KEYS.text()


def test_nothing_of_the_keys_is_in_clear_in_what_was_locked() -> None:
    for line in KEYS.text().splitlines():
        assert line.encode() not in LOCKED


def test_a_locked_file_that_was_altered_is_refused() -> None:
    for place in (0, 30, len(LOCKED) // 2, len(LOCKED) - 1):
        changed = bytearray(LOCKED)
        changed[place] ^= 1
        with pytest.raises((BadFile, NotOpened, Incomplete)):
            unlock(bytes(changed), GOOD)


def test_keys_go_under_another_passphrase_and_the_old_one_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "identity.age"
    path.write_bytes(LOCKED)
    path.chmod(0o640)
    os.link(path, tmp_path / "the same file")
    change_passphrase(path, lambda: GOOD, OTHER)
    assert unlock(path.read_bytes(), OTHER).text() == KEYS.text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(WrongPassphrase):
        unlock(path.read_bytes(), GOOD)
    assert (tmp_path / "the same file").read_bytes() == b""


def test_a_plain_key_file_gets_its_first_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEYS.text())
    change_passphrase(path, lambda: pytest.fail("there is no passphrase to ask for"), OTHER)
    assert unlock(path.read_bytes(), OTHER).text() == KEYS.text()


@pytest.mark.parametrize("role", ["root", "signing", "opening"])
def test_a_key_of_a_service_gets_a_passphrase_and_another(tmp_path: Path, role: KeyRole) -> None:
    keys, path = HalfKeys.generate(role), tmp_path / "key"
    path.write_text(keys.text())
    change_passphrase(path, lambda: pytest.fail("there is no passphrase to ask for"), OTHER)
    change_passphrase(path, lambda: OTHER, GOOD)
    assert read_keys(path.read_bytes(), lambda: GOOD).text() == keys.text()


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [("not it", OTHER, WrongPassphrase), (GOOD, "password", BadInput)],
    ids=["wrong old one", "weak new one"],
)
def test_a_passphrase_that_may_not_be_changed_leaves_the_file_as_it_was(
    tmp_path: Path, old: str, new: str, error: type[Exception]
) -> None:
    path = tmp_path / "key"
    path.write_bytes(LOCKED)
    with pytest.raises(error):
        change_passphrase(path, lambda: old, new)
    assert path.read_bytes() == LOCKED
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(NotPossible):
        change_passphrase(tmp_path / "nothing", lambda: old, new)


@pytest.mark.slow
def test_a_passphrase_is_stretched_as_much_as_this_machine_bears() -> None:
    line = lock(KEYS, GOOD).splitlines()[1]
    assert LEAST_WORK <= int(line.rsplit(b" ", 1)[1]) <= MOST_WORK
