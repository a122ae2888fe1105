"""How a verb says what it did: a sentence for people, or one object for a program."""

from pathlib import Path

import click
import msgspec

PATH = click.Path(path_type=Path)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
DRY_RUN = click.option(
    "--dry-run", "rehearse", is_flag=True, help="Say what would be done, and change nothing."
)


def tell(as_json: bool, sentence: str, ok: bool = True, **fields: object) -> None:
    """Say what was done: on standard output as an object, otherwise on standard error."""
    if as_json:
        click.echo(msgspec.json.encode({"ok": ok, **fields}).decode())
    else:
        click.echo(sentence, err=True)
