"""Age's keys in their written forms, what a passphrase costs, and files of keys."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.age.bech32 import from_bech32, to_bech32
from appliance.age.identities import generate_identity, parse_identity
from appliance.age.keyfile import load_identities
from appliance.age.recipients import parse_recipient
from appliance.age.scrypt import LEAST_WORK, stretched_as_fits
from appliance.age.sealing import seal, to_base64
from appliance.age.unsealing import Identity, unseal
from appliance.errors import BadFile, BadHeader, BadInput, NotPossible, WrongPassphrase
from appliance.vault.keys import PrivateKeys, lock, unlock

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


@pytest.mark.parametrize(
    "work", ["19", "30", "99", "100", "0", "010", "+9", "-1", "1e1", "0x9", ""]
)
def test_an_absurd_cost_is_refused_before_any_of_it_is_paid(work: str) -> None:
    absurd = LOCKED.replace(b" 10\n", f" {work}\n".encode(), 1)
    with pytest.raises(BadHeader):
        unlock(absurd, GOOD)


def test_a_machine_without_the_memory_says_so() -> None:
    script = (
        "import resource, sys; from appliance.vault.keys import unlock;"
        "from appliance.errors import NotPossible;"
        "data = sys.stdin.buffer.read();"
        "resource.setrlimit(resource.RLIMIT_AS, (160 << 20,) * 2);"
        f"\ntry: unlock(data, {GOOD!r})\nexcept NotPossible as error: print(error.hint)"
    )
    # 2^18 takes 256 MiB; that the key would be wrong does not matter here.
    data = LOCKED.replace(b" 10\n", b" 18\n", 1)
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True)
    assert b"Close what else is running" in done.stdout, done.stderr.decode()


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


class Stretcher:
    """Stands in for scrypt on a machine that takes `seconds` for 2^15; its clock moves by that."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self._seconds = seconds

    def __call__(self, work: int) -> bytes:
        self.now += self._seconds * 2 ** (work - LEAST_WORK)
        return bytes([work])


MIB = 1 << 20


@pytest.mark.parametrize(
    ("seconds", "free", "work"),
    [
        (0.01, 8 << 30, 17),
        (0.249, 8 << 30, 17),
        (0.251, 8 << 30, 16),
        (0.499, 8 << 30, 16),
        (0.501, 8 << 30, 15),
        (60.0, 8 << 30, 15),
        (0.01, 256 * MIB, 17),
        (0.01, 256 * MIB - 2, 16),
        (0.01, 128 * MIB, 16),
        (0.01, 128 * MIB - 2, 15),
        (0.01, 0, 15),
    ],
)
def test_a_passphrase_costs_what_time_and_memory_allow_within_bounds(
    seconds: float, free: int, work: int
) -> None:
    stretcher = Stretcher(seconds)
    found = stretched_as_fits(stretcher, free, lambda: stretcher.now)
    assert found == (work, bytes([work]))
