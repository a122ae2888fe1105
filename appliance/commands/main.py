"""`attune`: all its commands, put together, and the one place where an error becomes words.

Exit status: 0 done, 1 failed, 2 not understood, 3 incomplete (what is there was delivered). An
error is printed on standard error: what happened, why, and what to do. ATTUNE_TRACEBACK=1 adds the
traceback of a bug.
"""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from appliance.commands import escrow, films, keys, kit, tryout
from appliance.commands.options import hint_for, needs
from appliance.commands.programs import PROGRAMS, become
from appliance.errors import KitError, error_json

_INTERRUPTED = 128 + signal.SIGINT


def main() -> NoReturn:
    """Run what the command line asks for, and end."""
    # So that what was half written is cleared away, as it is after Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    status = run(sys.argv[1:])
    # Everything is written and closed. An orderly exit of Python takes as long as sealing 15 MiB.
    os._exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status. The one place where an error becomes words."""
    try:
        # Not attune.main(): that would take Incomplete, an EOFError, for a Ctrl-D.
        with attune.make_context("attune", list(arguments)) as context:
            attune.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        _tell(arguments, "usage", error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("Stopped.")
        _tell(arguments, "stopped", "Stopped.")
        return _INTERRUPTED
    except KitError as error:
        _say(str(error))
        _tell(arguments, error.code, error.sentence, error.hint)
        return error.exit_status
    except BrokenPipeError:
        # The reader of our output went away; Python must not try to flush to it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _say(_os_sentence(error))
        _tell(arguments, "failed", *_os_sentence(error).split("\n", 1))
        return 1
    except Exception as error:
        if os.environ.get("ATTUNE_TRACEBACK") == "1":
            traceback.print_exc()
        sentence = f"A fault in Attune itself: {type(error).__name__}: {error}"
        hint = (
            "Please report this line and the command that gave it. ATTUNE_TRACEBACK=1 in front of "
            "the command says where it is."
        )
        _say(f"{sentence}\n{hint}")
        _tell(arguments, "fault", sentence, hint)
        return 1
    return 0


def _tell(arguments: Sequence[str], code: str, sentence: str, hint: str = "") -> None:
    """With --json a failure is an object too, so that a program can read it."""
    sys.stdout.write(error_json(arguments, code, sentence, hint))
    sys.stdout.flush()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="attune", message="%(version)s")
def attune() -> None:
    """Film what a family agreed to, sealed before it touches the card.

    A fault in Attune itself is told in one line; ATTUNE_TRACEBACK=1 in front of the command shows
    where it is.
    """


def _program(name: str, module: str, promise: str) -> click.Command:
    @click.argument("options", nargs=-1, type=click.UNPROCESSED)
    def start(options: tuple[str, ...]) -> None:
        needs(module, f"{module} is not on this computer.", f"Install attune-{name}.")
        become(module, list(options))

    # Its options are its own, --help among them.
    settings = {"ignore_unknown_options": True, "help_option_names": []}
    return click.command(name, help=promise, context_settings=settings)(start)


for _command in (
    keys.keygen,
    keys.passphrase,
    keys.seal,
    keys.unseal,
    escrow.split,
    escrow.join,
    films.open_film,
    films.verify,
    films.cut,
    films.still,
    tryout.rehearse,
    tryout.demo,
    tryout.bench,
    kit.doctor,
    kit.hardware,
    kit.viewer,
    *(_program(name, *what) for name, what in PROGRAMS.items()),
):
    attune.add_command(_command)


def _say(text: str) -> None:
    click.echo(f"attune: {text}", err=True)


def _os_sentence(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    hint = hint_for(error, "Check the name, the disk and who may write there.")
    return f"{name}{error.strerror or error}.\n{hint}"
