"""The command `masi`: its verbs, gathered. What a verb needs is imported when it runs."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer
from typer.main import get_command

from masi_vision.cli.agree import agree
from masi_vision.cli.batch import batch
from masi_vision.cli.blind import blind
from masi_vision.cli.calibrate import calibrate
from masi_vision.cli.compare import compare
from masi_vision.cli.config import config
from masi_vision.cli.demo import demo
from masi_vision.cli.doctor import doctor
from masi_vision.cli.door import FULL, MUST_CHANGE, leave_full_output
from masi_vision.cli.evaluate import evaluate
from masi_vision.cli.export import export
from masi_vision.cli.labels import labels
from masi_vision.cli.models import models
from masi_vision.cli.outcome import outcome
from masi_vision.cli.phantom import phantom
from masi_vision.cli.qc import qc
from masi_vision.cli.report import report
from masi_vision.cli.review import audit, review
from masi_vision.cli.score import score
from masi_vision.cli.selftest import selftest
from masi_vision.cli.train import train
from masi_vision.cli.unblind import unblind
from masi_vision.source_code import version_and_code

_HELP = ["-h", "--help"]

app = typer.Typer(
    help="MASI scores of melasma from standardized facial photographs. Nothing leaves this machine but to an "
    "address that you name.",
    epilog="Exit codes: 0 done; 1 done, some visits not scored; 2 change something; 70 a bug; 130 stopped.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": _HELP},
    pretty_exceptions_enable=False,
)
app.command()(score)
app.command()(batch)
app.command()(compare)
app.command()(qc)
app.command()(demo)
app.command()(doctor)
app.command()(selftest)
app.command()(calibrate)
app.command()(phantom)
app.command()(unblind)
app.command()(agree)
app.command()(outcome)
app.command()(report)
app.command()(export)
app.command()(train)
app.command()(evaluate)
app.add_typer(blind, name="blind")
app.add_typer(review, name="review")
app.add_typer(audit, name="audit")
app.add_typer(labels, name="labels")
app.add_typer(models, name="models")
app.add_typer(config, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"masi_vision {version_and_code()}")
        raise typer.Exit


@app.callback()
def _masi(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before the verb."""


def main() -> None:
    """Run the command line."""
    # An empty path would be the current folder.
    if any(not one or re.fullmatch("--[a-z-]+=", one) for one in sys.argv[1:]):
        typer.echo(
            "masi: an argument is empty. Expected a value: is a variable of the script not set?", err=True
        )
        sys.exit(MUST_CHANGE)
    _tell_flags(command := get_command(app))
    _refuse_twice(command)
    try:
        command(prog_name="masi")
    except OSError as error:  # of help and usage: verbs have the door
        if error.errno not in FULL:
            raise
        leave_full_output()
        sys.exit(MUST_CHANGE)


def _refuse_twice(command: Any) -> None:
    """Have every verb refuse an option that is given twice: typer takes the last, and tells nobody."""
    for verb in getattr(command, "commands", {}).values():
        _refuse_twice(verb)
    if hasattr(command, "commands"):
        return
    parsed = command.parse_args

    def parse_args(context: Any, words: list[str]) -> list[str]:
        order = command.make_parser(context).parse_args(list(words))[2]
        for one in order:
            takes_one = one.param_type_name == "option" and not (one.multiple or one.is_flag)
            if takes_one and (times := order.count(one)) > 1:
                raise typer.BadParameter(
                    f"it is given {times} times. Expected once: the last alone would count.", context, one
                )
        return list(parsed(context, words))

    command.parse_args = parse_args


def _tell_flags(command: Any) -> None:
    """Have the help of a verb, or of all of a group, show no word for a value behind what takes none."""
    context = typer.Context(command, help_option_names=_HELP)
    for option in (*command.params, command.get_help_option(context)):
        if getattr(option, "is_flag", False):
            option.metavar = ""  # else typer writes <bool>
    for verb in getattr(command, "commands", {}).values():
        _tell_flags(verb)
