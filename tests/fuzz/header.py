"""Coverage-guided fuzzing of what reads strangers' bytes first: the head of a sealed file.

    python tests/fuzz/header.py [CORPUS] [-max_total_time=SECONDS ...]     libFuzzer's options

Runs until it finds a fault or the time is over. CORPUS is a folder that remembers what reached new
code (default: build/fuzz/header); it begins with the published test vectors of age. An input that
breaks a promise is kept beside it as crash-*, and is given to this program again to see it.
"""

import io
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["appliance"]):
    from appliance.age.identities import generate_identity
    from appliance.age.sealing import Stanza, chunk_nonce, format_header, payload_cipher
    from appliance.age.unsealing import SealedReader, unseal, unsealed
    from appliance.errors import BadArmor, BadHeader, KitError

ROOT = Path(__file__).resolve().parent.parent.parent
VECTORS = ROOT / "tests" / "vectors" / "age"
FILE_KEY, NONCE = bytes(16), bytes(16)
PLAIN = b"what was sealed"
PAYLOAD = NONCE + payload_cipher(FILE_KEY, NONCE).encrypt(chunk_nonce(0, True), PLAIN, None)


class Witness:
    """Opens whatever has a well-formed head, and remembers what stood in it."""

    kind = "x25519"
    recipient = generate_identity(x25519=True).recipient

    def __init__(self) -> None:
        self.seen: Sequence[Stanza] = ()

    def secret_text(self) -> str:
        raise AssertionError("nobody asks for it")

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes:
        self.seen = stanzas
        return FILE_KEY


KEYS = [generate_identity(x25519=True), generate_identity()]


def one_input(data: bytes) -> None:
    """Whatever the bytes are, the answer is an error for a person, or what was really sealed."""
    for read in (lambda: unseal(data, KEYS), lambda: SealedReader(io.BytesIO(data), KEYS).read()):
        try:
            read()
        except KitError:
            continue
        raise AssertionError("something was opened that nobody sealed to these keys")
    witness = Witness()
    try:
        for _ in unsealed(io.BufferedReader(io.BytesIO(data)), [witness]):
            pass
    except KitError:
        pass
    if not witness.seen or data.lstrip(b" \t\r\n").startswith(b"-----BEGIN"):
        return
    # It was taken for a head: then it is in the one spelling that a head has ...
    body = format_header(witness.seen, FILE_KEY).rpartition(b"--- ")[0]
    if not data.startswith(body + b"--- "):
        raise AssertionError("a head was read that is not what it says")
    # ... and with the right authentication code it opens, but with no other.
    whole = format_header(witness.seen, FILE_KEY) + PAYLOAD
    if len(witness.seen) > 1 and any(stanza.type == "scrypt" for stanza in witness.seen):
        raise AssertionError("a passphrase was not the only way in")
    if unseal(whole, [Witness()]) != PLAIN:
        raise AssertionError("a good file does not open")
    spoilt = bytearray(whole)
    spoilt[data[-1] % (len(whole) - len(PAYLOAD))] ^= 1 + data[0] % 255
    try:
        unseal(bytes(spoilt), [Witness()])
    except (BadHeader, BadArmor):  # Armor, where the first byte became a dash or a space.
        return
    raise AssertionError("an altered head was believed")


def sow(corpus: Path) -> None:
    """Lay the published vectors into an empty corpus."""
    corpus.mkdir(parents=True, exist_ok=True)
    if any(corpus.iterdir()):
        return
    for path in sorted(VECTORS.iterdir()):
        head, _, data = path.read_bytes().partition(b"\n\n")
        if path.suffix != ".md":
            (corpus / path.name).write_bytes(
                zlib.decompress(data)[:4096] if b"compressed: zlib" in head else data[:4096]
            )


if __name__ == "__main__":
    folders = [word for word in sys.argv[1:] if not word.startswith("-")]
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    place = Path(folders[0]) if folders else ROOT / "build" / "fuzz" / "header"
    if not place.is_file():  # A file is an input to be looked at again.
        sow(place)
    kept = f"-artifact_prefix={place.parent}/"
    atheris.Setup([sys.argv[0], kept, "-max_len=4096", *options, str(place)], one_input)
    atheris.Fuzz()
