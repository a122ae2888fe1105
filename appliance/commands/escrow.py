"""`split` and `join`: a service's spare opening key on three sheets of paper, any two of which give
it back."""

from pathlib import Path

import click

from appliance.commands.options import PATH, asking, given_passphrase, passphrase_options
from appliance.errors import BadInput, NotPossible


@click.command()
@click.argument("key", type=PATH, metavar="KEY")
@passphrase_options
@click.option(
    "-o", "--output", "out", type=PATH, required=True, metavar="DIR", help="A new folder."
)
def split(
    key: Path, prompt: bool, passphrase_file: Path | None, passphrase_fd: int | None, out: Path
) -> None:
    """Write an opening KEY as three sheets of words; any two of them give it back.

    Print each, give them to three people, then remove DIR, and KEY itself once `join` has given it
    back from the paper. DIR should lie in memory (/run, /dev/shm) or on a stick that is destroyed.

    \b
    Example:
      attune split escrow.key -o /dev/shm/shares
    """
    from appliance.records.files import save_new
    from appliance.vault import escrow
    from appliance.vault.keys import HalfKeys, read_keys

    given = given_passphrase(passphrase_file, passphrase_fd)
    try:
        data = key.read_bytes()
    except OSError as error:
        raise BadInput(f"{key} could not be read: {error.strerror}.") from error
    keys = read_keys(data, asking(given, f"Passphrase of {key.name}"))
    if not isinstance(keys, HalfKeys) or keys.identity is None:
        raise BadInput(
            f"{key} is not a key that only opens.",
            "Make one for this: attune keygen --role opening -o escrow.key",
        )
    try:
        out.mkdir(mode=0o700)
    except OSError as error:
        raise NotPossible(f"{out} cannot be made: {error.strerror}.") from error
    public = str(keys.identity.recipient)
    for number, words in enumerate(escrow.split(keys.identity), start=1):
        save_new(out / f"share-{number}.txt", _sheet(number, words, public).encode(), mode=0o600)
    click.echo(
        f"Written: {escrow.SHARES} sheets in {out}. Any {escrow.NEEDED} are enough.", err=True
    )


def _sheet(number: int, words: list[str], public: str) -> str:
    from appliance.vault.escrow import NEEDED, SHARES

    rows = [
        "".join(f"{at:>3} {word:<12}" for at, word in enumerate(words[row : row + 4], row + 1))
        for row in range(0, len(words), 4)
    ]
    lines = "\n".join(row.rstrip() for row in rows)
    return (
        f"# Share {number} of {SHARES}. Any {NEEDED} of them open what was sealed to\n"
        f"# {public[:40]}...\n# Give it back with: attune join (SLIP-39)\n\n{lines}\n"
    )


@click.command()
@click.argument("shares", nargs=-1, type=PATH, metavar="[SHARE...]")
@click.option("-o", "--output", "out", type=PATH, required=True, metavar="FILE", help="Also .pub.")
def join(shares: tuple[Path, ...], out: Path) -> None:
    """Give an opening key back from two of its shares, as files or typed.

    A wrong word is told, and in which share.

    \b
    Example:
      attune join -o escrow.key
    """
    from appliance.records.files import save_new, to_json
    from appliance.vault import escrow
    from appliance.vault.keys import HalfKeys

    public = out.with_name(out.name + ".pub")
    for path in (out, public):
        if path.exists():
            raise NotPossible(f"{path} is there already; keys are never written over others.")
    typed = [_read(path) for path in shares] or [
        str(click.prompt(f"Words of share {number}", err=True, hide_input=True))
        for number in (1, 2)
    ]
    keys = HalfKeys("opening", escrow.join(typed))
    save_new(out, keys.text().encode(), mode=0o600)
    save_new(public, to_json(keys.card()) + b"\n", mode=0o644)
    click.echo(f"Given back: {out}, which opens what was sealed to {public}.", err=True)


def _read(path: Path) -> str:
    from appliance.records.files import lines

    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} could not be read.") from error
    return " ".join(line for line in lines(text) if not line.startswith("#"))
