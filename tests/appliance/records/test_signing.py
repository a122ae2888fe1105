"""Signed notes: whoever alters one is noticed, and anyone's tool can check them."""

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadFile, BadSignature
from appliance.protocol.enrolment import Revocation
from appliance.records.clock import Mark
from appliance.records.signing import Signer, Verifier, open_fact, open_note, sign_fact, split_note

SIGNER = Signer.generate("attune-test")
NOTE = SIGNER.sign("first line\nsecond line\n")


def test_a_note_opens_for_the_key_that_signed_it() -> None:
    assert open_note(NOTE, [SIGNER.verifier]) == ("first line\nsecond line\n", SIGNER.verifier)


def test_a_dozen_lines_of_public_tools_check_a_note() -> None:
    name, _, key = str(SIGNER.verifier).split("+", 2)
    text, _, last = NOTE.rpartition("\n\n")
    public = base64.b64decode(key)[1:]
    signature = base64.b64decode(last.split(" ")[2])
    expected = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    assert signature[:4] == expected
    Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], text.encode() + b"\n")


@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(1, 255))
def test_no_altered_byte_goes_unnoticed(place: int, change: int) -> None:
    data = bytearray(NOTE.encode())
    data[place] ^= change
    try:
        altered = data.decode()
    except UnicodeDecodeError:
        return
    try:
        text, _ = open_note(altered, [SIGNER.verifier])
    except (BadFile, BadSignature):
        return
    # Base64 has no spare bits in a 68-byte signature's encoding other than its last character's;
    # whatever is accepted must at least say exactly what was signed.
    assert text == "first line\nsecond line\n"


def test_a_stranger_with_our_name_is_not_believed() -> None:
    stranger = Signer.generate("attune-test")
    with pytest.raises(BadSignature):
        open_note(stranger.sign("open the door\n"), [SIGNER.verifier])


def test_a_false_signature_beside_a_true_one_is_not_believed() -> None:
    other = Signer.generate("other")
    _, signatures = split_note(other.sign("another text\n"))
    name, key_hash, signature = signatures[0]
    line = f"\N{EM DASH} {name} {base64.b64encode(key_hash + signature).decode()}\n"
    with pytest.raises(BadSignature):
        open_note(NOTE + line, [SIGNER.verifier, other.verifier])


def test_keys_survive_being_written_down() -> None:
    assert Verifier.parse(str(SIGNER.verifier)) == SIGNER.verifier
    again = Signer.parse(SIGNER.secret_text())
    assert open_note(again.sign("x\n"), [SIGNER.verifier])[0] == "x\n"


@pytest.mark.parametrize("text", ["", "a+b", "a+00000000+AAAA", "PRIVATE+KEY+a+b+c", "\n\n\n"])
def test_what_is_not_a_key_is_refused(text: str) -> None:
    with pytest.raises(BadFile):
        Verifier.parse(text)
    with pytest.raises(BadFile):
        Signer.parse(text)


def test_a_secret_key_does_not_show_itself() -> None:
    # The seed is base64 and may hold plus signs of its own: what is looked for is all of it.
    seed = SIGNER.secret_text().split("+", 4)[4]
    assert len(seed) == 44
    assert seed not in repr(SIGNER) and seed not in str(SIGNER)


@pytest.mark.parametrize(
    "text", ["", "one line", "text\n", "text\n\n", "text\n\nno dash\n", "\x01\n\n"]
)
def test_what_is_not_a_note_is_refused(text: str) -> None:
    with pytest.raises(BadFile):
        split_note(text)


def test_a_signed_fact_is_opened_as_what_it_is_and_as_nothing_else() -> None:
    revoked = Revocation(practitioner="practitioner-x", at=datetime(2026, 11, 1, tzinfo=UTC))
    note = sign_fact(SIGNER, revoked)
    assert open_fact(note.encode(), [SIGNER.verifier], Revocation) == (revoked, SIGNER.verifier)
    for spoilt, kind, refused in (
        (note, Mark, BadFile),
        (note.encode() + b"\xff", Revocation, BadFile),
        (note.replace("2026", "2027"), Revocation, BadSignature),
    ):
        with pytest.raises(refused):
            open_fact(spoilt, [SIGNER.verifier], kind)
