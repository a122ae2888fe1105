"""Commands that make keys, seal to them and open with them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.age.recipients import parse_recipient
from appliance.age.scrypt import ScryptIdentity, ScryptRecipient
from appliance.age.sealing import Recipient, SealedWriter
from appliance.age.unsealing import unsealed
from appliance.commands.options import (
    IN,
    KEYS,
    OUT,
    PATH,
    ask_new_passphrase,
    asking,
    given_passphrase,
    identities_in,
    opened_input,
    opened_output,
    passphrase_options,
    refuse_terminal,
)
from appliance.errors import BadInput, NotPossible

if TYPE_CHECKING:
    from appliance.protocol.cards import KeyRole, Role

_BLOCK = 1 << 19
_AGE_WORK_LIMIT = 22
"""What `age` itself tries when a passphrase opens a file; the kit's own key files stay below."""


@click.command()
@click.option("--x25519", is_flag=True, help="Make a key for any age tool; it is not post-quantum.")
@click.option(
    "--role",
    type=click.Choice(["practitioner", "service", "root", "signing", "opening"]),
    default="practitioner",
    show_default=True,
    help="Whose keys these are. A service may keep its root, what signs, and what opens, apart.",
)
@passphrase_options
@click.option("-o", "--output", "out", type=PATH, metavar="FILE", help="Also writes FILE.pub.")
def keygen(
    x25519: bool,
    role: "Role | KeyRole",
    prompt: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    out: Path | None,
) -> None:
    """Make the keys of a person: one that opens, and one that signs.

    FILE holds the secret half, under a passphrase if one is asked for; FILE.pub the public half, to
    give away. Neither is ever written over a file that is there.
    """
    from appliance.records.files import save_new, to_json
    from appliance.vault.keys import HalfKeys, PrivateKeys, lock

    passphrase = given_passphrase(passphrase_file, passphrase_fd)
    if prompt and passphrase is None:
        passphrase = ask_new_passphrase()
    keys: PrivateKeys | HalfKeys
    if role == "practitioner" or role == "service":
        keys = PrivateKeys.generate(role, x25519)
    else:
        keys = HalfKeys.generate(role, x25519)
    data = keys.text().encode() if passphrase is None else lock(keys, passphrase)
    if out is None:
        refuse_terminal(data)
        sys.stdout.buffer.write(data)
        return
    public = out.with_name(out.name + ".pub")
    for path in (public, out):
        if path.exists():
            raise NotPossible(
                f"{path} is there already; keys are never written over others.",
                "Choose another name, or move the old keys away if nothing needs them any more.",
            )
    save_new(out, data, mode=0o600)
    save_new(public, to_json(keys.card()) + b"\n", mode=0o644)


@click.command()
@click.argument("file", type=PATH)
@passphrase_options
@click.option("--new-passphrase-file", "new_file", type=PATH, metavar="FILE", help="The new one.")
@click.option("--new-passphrase-fd", "new_fd", type=int, metavar="N", help="The new one.")
def passphrase(
    file: Path,
    prompt: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    new_file: Path | None,
    new_fd: int | None,
) -> None:
    """Put the key in FILE under another passphrase, or under its first one.

    Only who knows the old passphrase can do it. Copies of FILE elsewhere stay under the old one.
    """
    from appliance.vault.keys import change_passphrase

    old = asking(given_passphrase(passphrase_file, passphrase_fd), "Passphrase")
    new = given_passphrase(new_file, new_fd)
    change_passphrase(file, old, new if new is not None else ask_new_passphrase())


@click.command()
@click.option(
    "-r", "--recipient", "to", multiple=True, help="A recipient (age1...) or somebody's .pub file."
)
@passphrase_options
@OUT
@IN
def seal(
    to: tuple[str, ...],
    prompt: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    out: Path | None,
    source: Path,
) -> None:
    """Seal IN (or standard input) so that only the recipients can open it."""
    recipients = [_recipient(text) for text in to]
    passphrase = given_passphrase(passphrase_file, passphrase_fd)
    if prompt and passphrase is None:
        passphrase = ask_new_passphrase()
    if passphrase is not None:
        from appliance.vault.passphrases import check_passphrase

        check_passphrase(passphrase)
        recipients.append(ScryptRecipient(passphrase))
    if not recipients:
        raise click.UsageError("Say whom to seal it to: -r RECIPIENT, or -p for a passphrase.")
    with opened_input(source) as file, opened_output(out) as sealed:
        writer = SealedWriter(sealed, recipients)
        block = memoryview(bytearray(_BLOCK))
        while count := file.readinto(block):
            writer.write(block[:count])
        writer.close()


@click.command()
@KEYS
@passphrase_options
@OUT
@IN
def unseal(
    keys: tuple[Path, ...],
    prompt: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    out: Path | None,
    source: Path,
) -> None:
    """Open IN (or standard input), which was sealed to a key or under a passphrase.

    With -i the passphrase is the key file's, without it that of IN. If the end of IN is missing or
    damaged, what is authentic is given, and with -o it is called OUT.partial.
    """
    if not keys and not prompt and passphrase_file is None and passphrase_fd is None:
        raise click.UsageError("Say what opens it: -i FILE, or -p for a passphrase.")
    given = given_passphrase(passphrase_file, passphrase_fd)
    identities = identities_in(keys, given)
    if not keys:
        identities.append(ScryptIdentity(asking(given, "Passphrase")(), limit=_AGE_WORK_LIMIT))
    with opened_input(source) as file:
        # Before the output: where the head fails, nothing is made.
        chunks = unsealed(file, identities)
        with opened_output(out, secret=True) as plain:
            for chunk in chunks:
                plain.write(chunk)


def _recipient(text: str) -> Recipient:
    if text.startswith("age1"):
        return parse_recipient(text)
    from appliance.protocol.cards import Card
    from appliance.records.files import load_fact

    card = load_fact(Path(text), Card)
    if card is None:
        raise BadInput(
            f"{text} is neither a recipient nor a file.",
            "Give age1..., or the .pub file that `attune keygen` made.",
        )
    return card.sealing_key()
