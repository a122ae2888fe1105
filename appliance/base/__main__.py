"""`attune base STORE -i KEYS VERB`: all its verbs, put together, and the one place where an error
becomes words."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from appliance.base.commands import (
    carrying,
    custody,
    exporting,
    families,
    keeping,
    kits,
    ledger,
    overview,
    people,
    refusing,
    restoring,
    retention,
    roster,
    serving,
)
from appliance.base.commands.telling import PATH
from appliance.base.service import Service
from appliance.errors import KitError, error_json


class _Verbs(click.Group):
    """A group whose own options may stand on both sides of STORE, up to the verb."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = self._verb_at(ctx, args)
        # What follows is the verb's own, whatever it looks like.
        return super().parse_args(ctx, [*args[:at], "--", *args[at:]] if at < len(args) else args)

    def _verb_at(self, ctx: click.Context, args: Sequence[str]) -> int:
        """Where the second word stands that is neither an option nor belongs to one."""
        takes = {
            name: 0 if option.is_flag else option.nargs
            for option in self.get_params(ctx)
            if isinstance(option, click.Option)
            for name in option.opts
        }
        at = words = 0
        while at < len(args):
            if args[at].startswith("-") and args[at] != "-":
                at += 1 + takes.get(args[at], 0)
                continue
            words += 1
            if words == 2:
                break
            at += 1
        return at


def _old_flags(command: Callable[..., object]) -> Callable[..., object]:
    """What was asked for before there were verbs (`_as_verbs`): not shown, and still understood."""
    for option in reversed((
        click.option("--new", is_flag=True),
        click.option("--withdraw", metavar="CASE"),
        click.option("--film", metavar="FILM"),
        click.option("--kit", metavar="KIT"),
        click.option("--enrol", multiple=True, metavar="CARD"),
        click.option("--revoke", metavar="NAME"),
        click.option("--recover", metavar="CARD"),
        click.option("--instead-of", metavar="NAME"),
        click.option("--case", "cases", multiple=True, metavar="CASE"),
        click.option("--ceilings", type=(kits.MINUTES, kits.FILMS, kits.HOURS)),
        click.option("--reset", metavar="KIT"),
        click.option("--even-unsent", is_flag=True),
    )):  # fmt: skip
        command = option(command)
        command.__click_params__[-1].hidden = True  # type: ignore[attr-defined]
    return command


@click.group(
    cls=_Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "allow_interspersed_args": True},
    epilog="Without a verb it serves. The options of before there were verbs still work: --new, "
    "--enrol CARD, --revoke NAME, --recover CARD, --withdraw CASE, --ceilings, --reset KIT.",
)
@click.argument("store", metavar="STORE")
@click.option(
    "-i",
    "--identity",
    "keys",
    type=PATH,
    metavar="KEYS",
    help="The service's key file, or the folder with it. Beside it, in practitioners/, lie the "
    ".pub files of those whose orders count.",
)
@click.option("--passphrase-file", type=PATH, metavar="FILE", help="The key file's passphrase.")
@click.option("--access", type=PATH, metavar="FILE", help="How to get into STORE, and its pin.")
@click.option(
    "--clock-is-right",
    is_flag=True,
    help="Work although the clock here is far from what kits sign: you have looked at it.",
)
@click.option("--once", is_flag=True, help="Without a verb: carry out what is there, then end.")
@click.option("--json", "as_json", is_flag=True, help="Without a verb: each round as one object.")
@_old_flags
@click.pass_context
def base(
    context: click.Context,
    /,
    store: str,
    keys: Path | None,
    passphrase_file: Path | None,
    access: Path | None,
    clock_is_right: bool,
    **given: Any,
) -> None:
    """What the service does at its STORE: a folder, or the address of another engine.

    \b
    Example:
      attune base /srv/attune/store -i KEYS serve
    """
    context.obj = service = Service(store, keys, access, passphrase_file, clock_is_right)
    if context.invoked_subcommand is not None:
        if any(value for value in given.values()):
            raise click.UsageError("Options of a verb stand after it.")
        return
    # Before anything is done: a wrong key or passphrase does nothing at all.
    _ = service.own
    for name, *words in [*_as_verbs(**given), _serving(given)]:
        verb = base.commands[name]
        with verb.make_context(name, words, parent=context) as inner:
            verb.invoke(inner)


def _serving(given: dict[str, Any]) -> list[str]:
    flags = {"--once": given["once"], "--json": given["as_json"]}
    return ["serve", *(flag for flag, on in flags.items() if on)]


def _as_verbs(**given: Any) -> Iterator[list[str]]:
    """What the options of before mean, each as the words of a verb. Raises UsageError."""
    kit = ["--kit", given["kit"]] if given["kit"] else []
    cases = [word for case in given["cases"] for word in ("--case", case)]
    instead = ["--instead-of", given["instead_of"]] if given["instead_of"] else []
    if (cases or instead) and not given["recover"]:
        raise click.UsageError("--case and --instead-of go with --recover CARD.")
    if given["recover"] and not (cases or instead):
        raise click.UsageError("Say for which cases: --instead-of NAME, or --case CASE.")
    if (given["film"] or (kit and not given["recover"])) and not given["withdraw"]:
        raise click.UsageError("--film and --kit go with --withdraw CASE.")
    if given["even_unsent"] and not given["reset"]:
        raise click.UsageError("--even-unsent goes with --reset KIT.")
    if given["enrol"]:
        yield ["enrol", "--", *given["enrol"]]
    if given["revoke"]:
        yield ["revoke", "--", given["revoke"]]
    if given["recover"]:
        verb = "recover" if instead else "let-in"
        yield [verb, *instead, *cases, *kit, "--", given["recover"]]
    if given["ceilings"]:
        yield ["ceilings", *map(str, given["ceilings"])]
    if given["new"]:
        yield ["init"]
    if given["withdraw"]:
        film = ["--film", given["film"]] if given["film"] else []
        yield ["withdraw", "--later", *film, *(kit if film or not given["recover"] else []), "--",
               given["withdraw"]]  # fmt: skip
    if given["reset"]:
        yield ["reset", *(["--even-unsent"] if given["even_unsent"] else []), "--", given["reset"]]


for _verb in (
    serving.init,
    serving.serve,
    overview.status,
    overview.kits,
    roster.roster,
    roster.cases,
    people.enrol,
    people.revoke,
    people.recover,
    people.let_in,
    families.withdraw,
    families.hold,
    refusing.refuse_order,
    kits.ceilings,
    kits.reset,
    ledger.ledger,
    keeping.audit,
    custody.card,
    custody.reseal,
    carrying.ask,
    carrying.answer,
    keeping.logs,
    retention.retention,
    exporting.export,
    restoring.restore,
):
    base.add_command(_verb)


def _tell(code: str, sentence: str, hint: str = "") -> None:
    """For whoever reads what we print by a program, in place of the object that they asked for."""
    click.echo(error_json(sys.argv[1:], code, sentence, hint), nl=False)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> NoReturn:
    """The program: an error becomes words here, and nowhere else."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        base(standalone_mode=False, prog_name="attune base")
    except click.ClickException as error:
        error.show()
        _tell("usage", error.format_message())
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("attune base: stopped; what is not finished is finished next time.", err=True)
        _tell("stopped", "Stopped.")
        sys.exit(130)
    except KitError as error:
        click.echo(f"attune base: {error}", err=True)
        _tell(error.code, error.sentence, error.hint)
        sys.exit(error.exit_status)
    except OSError as error:
        click.echo(f"attune base: {error.filename}: {error.strerror}.", err=True)
        _tell("failed", f"{error.filename}: {error.strerror}.")
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
