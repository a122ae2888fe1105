"""What commands have in common: how a key, a passphrase, an input and an output are given."""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from appliance.age.keyfile import load_identities
from appliance.age.unsealing import Identity
from appliance.commands.programs import is_here
from appliance.errors import BadInput, BadPayload, Incomplete, NotPossible

PATH = click.Path(path_type=Path)
KEYS = click.option(
    "-i", "--identity", "keys", multiple=True, type=PATH, metavar="FILE", help="A key file."
)
OUT = click.option("-o", "--output", "out", type=PATH, metavar="OUT", help="Write to this file.")
FILE = click.option(
    "-o", "--output", "out", type=PATH, metavar="OUT", required=True, help="Write to this file."
)
KIT_KEYS = click.option(
    "--kit-key",
    "kit_keys",
    multiple=True,
    metavar="KEY",
    help="A kit's public key (name+hash+key), a file with it or with the kit's card, or a folder "
    "of cards: kits', practitioners', the service's.",
)
ACCESS = click.option("--access", type=PATH, metavar="FILE", help="The access file of a store.")
CONFIG = click.option(
    "--config",
    type=PATH,
    metavar="FILE",
    default=Path("/etc/attune/attune.toml"),
    show_default=True,
    help="The kit's settings.",
)
IN = click.argument("source", metavar="[IN]", type=PATH, default=Path("-"))

_C = TypeVar("_C", bound=Callable[..., object])


def passphrase_options(command: _C) -> _C:
    """`-p`, `--passphrase-file` and `--passphrase-fd`: never the passphrase itself."""
    for option in (
        click.option("--passphrase-fd", type=int, metavar="N", help="Read it from a descriptor."),
        click.option("--passphrase-file", type=PATH, metavar="FILE", help="Read it from a file."),
        click.option("-p", "--passphrase", "prompt", is_flag=True, help="Ask for a passphrase."),
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def opened_input(source: Path) -> Iterator[Any]:
    """A buffered reader of a file, or of standard input for `-`."""
    if str(source) == "-":
        yield sys.stdin.buffer
        return
    with open(source, "rb") as file:
        yield file


def hint_for(error: OSError, otherwise: str) -> str:
    """What to do about what a disk said: about a stick that takes no writes, more than that."""
    if error.errno not in (errno.EROFS, errno.EUCLEAN):
        return otherwise
    return (
        "Is it a stick? Move its small switch, if it has one. One that was pulled out of a "
        "computer too early must be checked first: with fsck, by Windows, or with First Aid on a "
        "Mac."
    )


@contextlib.contextmanager
def opened_output(out: Path | None, secret: bool = False) -> Iterator[BinaryIO]:
    """Where a command writes: under its final name only once it is whole and on the disk.

    What is authentic of an incomplete or damaged file stays as OUT.partial; any other end leaves
    nothing. `secret` keeps the file from other users. Without `out` it is standard output.
    """
    if out is None or str(out) == "-":
        if not secret:
            refuse_terminal(b"\0")
        try:
            yield sys.stdout.buffer
        finally:  # Before the error is told: what is authentic is delivered.
            sys.stdout.buffer.flush()
        return
    if out.exists() and not stat.S_ISREG(out.stat().st_mode):
        with open(out, "wb") as device:
            yield device
        return
    temporary = out.with_name(f".{out.name}.{os.urandom(4).hex()}.new")
    mode = 0o600 if secret else 0o666
    name = None
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    except OSError as error:
        raise NotPossible(
            f"{out} cannot be written: {error.strerror}.",
            hint_for(error, "Check that its folder is there, and that you may write in it."),
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            try:
                yield file
                name = out
            except (Incomplete, BadPayload):
                name = out.with_name(out.name + ".partial")
                raise
            finally:
                if name is not None:
                    from appliance.records.files import sync_directory

                    file.flush()
                    os.fsync(file.fileno())
                    os.replace(temporary, name)
                    sync_directory(out.parent)
    finally:
        temporary.unlink(missing_ok=True)


def identities_in(keys: Sequence[Path], given: str | None) -> list[Identity]:
    """The keys in these files; the passphrase of a locked one is `given` or asked for."""
    found: list[Identity] = []
    for path in keys:
        found += load_identities(path, asking(given, f"Passphrase of {path.name}"))
    return found


def given_passphrase(file: Path | None, descriptor: int | None) -> str | None:
    """The first line of a file or descriptor; None if neither was given."""
    if file is None and descriptor is None:
        return None
    if file is not None and descriptor is not None:
        raise click.UsageError("Give the passphrase in one way, not two.")
    source = file if descriptor is None else descriptor
    assert source is not None
    try:
        with open(source, encoding="utf-8") as stream:
            line = stream.readline().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise BadInput("The passphrase is not text.", "Put it on the first line.") from error
    if not line:
        raise BadInput("There is no passphrase in its file.", "Put it on the first line.")
    return line


def asking(given: str | None, what: str) -> Callable[[], str]:
    def ask() -> str:
        if given is not None:
            return given
        return str(click.prompt(what, hide_input=True, err=True))

    return ask


def ask_new_passphrase() -> str:
    from appliance.vault.passphrases import check_passphrase, make_passphrase

    typed = str(
        click.prompt(
            "New passphrase (press Enter to be given six words)",
            hide_input=True,
            default="",
            show_default=False,
            err=True,
        )
    )
    if not typed:
        made = make_passphrase()
        click.echo(
            f"The passphrase is: {made}\nWrite it down now; it is not shown again.", err=True
        )
        return made
    check_passphrase(typed)
    if click.prompt("Once more", hide_input=True, err=True) != typed:
        raise BadInput("The two were not the same.", "Try again.")
    return typed


def refuse_terminal(data: bytes) -> None:
    if sys.stdout.isatty() and (b"\0" in data or not data.isascii()):
        raise click.UsageError(
            "That would write binary data to the terminal: use -o OUT, or a pipe."
        )


def needs(module: str, sentence: str, hint: str) -> None:
    """Raise NotPossible unless the module is installed: not every kit has every package."""
    if not is_here(module):
        raise NotPossible(sentence, hint)
