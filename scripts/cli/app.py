"""The command `ostinato`: which commands there are, and how every call ends."""

import gc
import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer
from typer.exceptions import TyperException

from scripts.cli.cli_errors import CommandError, report_error, report_message, wants_json
from scripts.cli.commands import CommandGroup
from scripts.cli.exit_codes import ExitCode
from scripts.cli.plain_call import plain_call

app = typer.Typer(
    name="ostinato",
    cls=CommandGroup,
    help="Orders, runs and resumes training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 bad input, 3 not found, 4 environment, 75 interrupted and resumable.",
)

@app.callback()
def root(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="show the traceback of an error (anywhere in the line)")
    ] = False,
) -> None:
    """Orders, runs and resumes training."""
    # `run` below reads and removes --debug wherever it stands; it is declared here for the help.
    del debug


def run(words: Sequence[str]) -> int:
    """Run one command line and return its exit code. Errors become one message on stderr; none leaves as traceback."""
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    as_json = wants_json(words)
    _show_any_text()
    try:
        _check_text(words)
        call = plain_call(words)
        gc.enable()  # `main` has switched it off while we are imported
        code = call() if call else app(args=words, prog_name="ostinato", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _nobody_reads()
    except TyperException as error:
        return _usage(error, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        report_message("aborted", ExitCode.ABORTED, as_json=as_json, kind="Abort")
        return ExitCode.ABORTED
    except Exception as error:  # noqa: BLE001 - every error ends here, as a message and an exit code
        if debug:
            traceback.print_exc(file=sys.stderr)
        return report_error(error, as_json=as_json)
    return int(code or ExitCode.OK)


def _show_any_text() -> None:
    """Let no name in the queue that a terminal's character set lacks keep a list of others from being shown."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nobody_reads() -> int:
    """End quietly when whoever reads our output has read enough, as `| head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at its end
    return ExitCode.OK


def _check_text(words: Sequence[str]) -> None:
    """Raise CommandError for bytes that are no UTF-8, which Python hands on as half of surrogate pairs."""
    for at, word in enumerate(words, start=1):
        try:
            word.encode()
        except UnicodeEncodeError:
            raise CommandError(f"word {at}, {word!a}: is not UTF-8: write it in UTF-8, or rename the file") from None


def _usage(error: TyperException, *, as_json: bool) -> int:
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":  # the help was printed in place of a command
        sys.stderr.write(message)
        return ExitCode.BAD_INPUT
    context = getattr(error, "ctx", None)
    if context is not None:
        message = f"{message}\n`{context.command_path} --help` shows what there is"
    report_message(message, ExitCode.BAD_INPUT, as_json=as_json, kind="UsageError")
    return ExitCode.BAD_INPUT
