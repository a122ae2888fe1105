"""Keys in their written forms, and what lies under a passphrase."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import (
    BadFile,
    BadHeader,
    BadInput,
    Incomplete,
    NotOpened,
    NotPossible,
    WrongPassphrase,
)
from appliance.files import from_json, to_json
from appliance.keys import (
    LEAST_WORK,
    MOST_WORK,
    REQUIRED_BITS,
    Card,
    Identity,
    PrivateKeys,
    Role,
    ScryptIdentity,
    ScryptRecipient,
    check_passphrase,
    from_bech32,
    generate_identity,
    load_identities,
    lock,
    make_passphrase,
    parse_identity,
    parse_recipient,
    passphrase_strength,
    to_bech32,
    unlock,
)
from appliance.sealing import seal, to_base64
from appliance.signing import Signer, open_note
from appliance.unsealing import unseal

GOOD = "lobe kadu vano resi jutu hapo"
KEYS = PrivateKeys.generate("practitioner", x25519=True)
LOCKED = lock(KEYS, GOOD, work=10)


@pytest.fixture(params=[True, False], ids=["x25519", "hybrid"])
def identity(request: pytest.FixtureRequest) -> Identity:
    return generate_identity(x25519=request.param)


def test_keys_are_post_quantum_unless_another_kind_is_asked_for() -> None:
    assert str(generate_identity().recipient).startswith("age1pq1")
    assert generate_identity().secret_text().startswith("AGE-SECRET-KEY-PQ-1")
    assert str(generate_identity(x25519=True).recipient).startswith("age1")
    assert generate_identity(x25519=True).kind == "x25519"


def test_a_key_read_from_its_written_form_is_the_same_key(identity: Identity) -> None:
    again = parse_identity(identity.secret_text() + "\n")
    assert again.secret_text() == identity.secret_text()
    assert again.recipient == identity.recipient == parse_recipient(f" {identity.recipient} ")
    assert unseal(seal(b"x", [parse_recipient(str(identity.recipient))]), [again]) == b"x"


def test_one_wrong_character_anywhere_in_a_key_is_noticed(identity: Identity) -> None:
    for text, parse in (
        (str(identity.recipient), parse_recipient),
        (identity.secret_text(), parse_identity),
    ):
        for place in range(0, len(text), 1 + len(text) // 70):
            other = "Q" if text[place] not in "Qq" else "P"
            changed = (
                text[:place] + (other if text.isupper() else other.lower()) + text[place + 1 :]
            )
            with pytest.raises(BadInput) as caught:
                parse(changed)
            assert changed not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "age1",
        "AGE-SECRET-KEY-1",
        "ssh-ed25519 AAAA",
        "1",
        "age1\N{LATIN SMALL LETTER E WITH ACUTE}",
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    for parse in (parse_recipient, parse_identity):
        with pytest.raises(BadInput):
            parse(text)


def test_a_key_of_one_kind_is_not_taken_for_the_other(identity: Identity) -> None:
    with pytest.raises(BadInput):
        parse_recipient(identity.secret_text())
    with pytest.raises(BadInput):
        parse_identity(str(identity.recipient))
    with pytest.raises(BadInput):
        parse_identity(identity.secret_text().lower())


def test_nothing_is_sealed_to_a_false_public_key() -> None:
    for public in (bytes(32), b"\1" + bytes(31)):  # points of low order
        with pytest.raises(BadInput):
            seal(b"", [parse_recipient(to_bech32("age", public))])


def test_no_secret_shows_itself_in_a_repr(identity: Identity) -> None:
    secret = identity.secret_text()
    keys = PrivateKeys(identity, Signer.generate("service-x"))
    shown = f"{identity!r}{identity}{keys!r}{keys}{ScryptIdentity(GOOD)!r}{ScryptRecipient(GOOD)!r}"
    assert secret not in shown
    assert GOOD not in shown
    assert secret[30:60] not in shown.upper()


@given(st.binary(max_size=99), st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True))
def test_bech32_gives_back_what_it_was_given(data: bytes, prefix: str) -> None:
    text = to_bech32(prefix, data)
    assert from_bech32(text) == from_bech32(text.upper()) == (prefix, data)


# Published with the definition of Bech32 (BIP 173).
@pytest.mark.parametrize(
    "text",
    [
        "A12UEL5L",
        "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
        "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
        "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
    ],
)
def test_the_published_bech32_strings_have_a_good_checksum(text: str) -> None:
    assert from_bech32(text)[0] == text.lower().rpartition("1")[0]
    assert from_bech32(text[:-1] + ("q" if text[-1] != "q" else "p")) == ("", b"")


@pytest.mark.parametrize(
    "text", ["A1g7sgd8", "pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "A12UeL5L"]
)
def test_a_broken_bech32_string_is_none(text: str) -> None:
    assert from_bech32(text) == ("", b"")


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
        spoilt = to_json(mine).replace(mine.recipient.encode(), mine.recipient[:-1].encode() + b"q")
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


@pytest.mark.slow
def test_a_passphrase_is_stretched_as_much_as_this_machine_bears() -> None:
    line = lock(KEYS, GOOD).splitlines()[1]
    assert LEAST_WORK <= int(line.rsplit(b" ", 1)[1]) <= MOST_WORK


@pytest.mark.parametrize(
    "work", ["19", "30", "99", "100", "0", "010", "+9", "-1", "1e1", "0x9", ""]
)
def test_an_absurd_cost_is_refused_before_any_of_it_is_paid(work: str) -> None:
    absurd = LOCKED.replace(b" 10\n", f" {work}\n".encode(), 1)
    with pytest.raises(BadHeader):
        unlock(absurd, GOOD)


def test_a_machine_without_the_memory_says_so() -> None:
    script = (
        "import resource, sys; from appliance.keys import unlock;"
        "from appliance.errors import NotPossible;"
        "data = sys.stdin.buffer.read();"
        "resource.setrlimit(resource.RLIMIT_AS, (160 << 20,) * 2);"
        f"\ntry: unlock(data, {GOOD!r})\nexcept NotPossible as error: print(error.hint)"
    )
    # 2^18 takes 256 MiB; that the key would be wrong does not matter here.
    data = LOCKED.replace(b" 10\n", b" 18\n", 1)
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True)
    assert b"Close what else is running" in done.stdout, done.stderr.decode()


def test_made_passphrases_are_six_plain_words_that_do_not_come_again() -> None:
    made = {make_passphrase() for _ in range(200)}
    assert len(made) == 200
    for passphrase in made:
        words = passphrase.split(" ")
        assert len(words) == 6
        assert all(word.isascii() and word.islower() and len(word) == 4 for word in words)
        check_passphrase(passphrase)
    letters = {passphrase[0] for passphrase in made}
    assert len(letters) == 16


@pytest.mark.parametrize(
    "weak",
    ["", "password", "correct horse battery staple", "12345678901234567890", "a" * 99, "lobe " * 20,
     "Tr0ub4dor&3", "2026-11-21 2026-11-21", "!" * 40],
)  # fmt: skip
def test_a_weak_passphrase_is_refused_with_a_hint(weak: str) -> None:
    assert passphrase_strength(weak) < REQUIRED_BITS
    with pytest.raises(BadInput) as caught:
        lock(KEYS, weak)
    assert "six words" in caught.value.hint


@pytest.mark.parametrize(
    "strong", [GOOD, "violin gravel ostrich tepid marzipan", "k7#Rw2!pZ9_vQ4xL8&dT3", GOOD.upper()]
)
def test_a_strong_passphrase_is_accepted(strong: str) -> None:
    check_passphrase(strong)


def test_identities_are_read_from_plain_and_from_locked_files(tmp_path: Path) -> None:
    plain, locked = tmp_path / "plain", tmp_path / "locked"
    other = generate_identity()
    plain.write_text(f"# made\n\n{KEYS.text()}\n{other.secret_text()}\n")
    locked.write_bytes(LOCKED)
    texts = [identity.secret_text() for identity in load_identities(plain)]
    assert texts == [KEYS.identity.secret_text(), other.secret_text()]
    (opened,) = load_identities(locked, lambda: GOOD)
    assert opened.secret_text() == KEYS.identity.secret_text()
    with pytest.raises(BadFile, match="passphrase"):
        load_identities(locked)
    with pytest.raises(WrongPassphrase):
        load_identities(locked, lambda: "no")


@pytest.mark.parametrize(
    "content", [b"", b"# nothing\n", b"AGE-SECRET-KEY-1X\n", b"\xff\xfe", b"hello"]
)
def test_a_file_without_a_key_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(BadFile) as caught:
        load_identities(path)
    assert "SECRET-KEY-1X" not in str(caught.value)


def test_a_key_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotPossible):
        load_identities(tmp_path / "nothing")


def test_a_salt_of_another_length_is_refused() -> None:
    salt = LOCKED.splitlines()[1].split(b" ")[2]
    with pytest.raises(BadHeader):
        unlock(LOCKED.replace(salt, to_base64(bytes(15)).encode(), 1), GOOD)
