"""`config show` and `config diff`."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.cli.exit_codes import ExitCode
from scripts.cli.find_run import FolderOption, find_run
from scripts.cli.output import OutputFormat, OutputOption, console, print_json, print_table
from scripts.cli.train_commands import ConfigDirOption, OverridesArgument

app = typer.Typer(help="Look at configurations.", no_args_is_help=True)

_Side = Annotated[str, typer.Argument(help="a run, or overrides in quotes: 'engine=zero2 optim.lr=1e-3'")]


@app.command()
def show(
    overrides: OverridesArgument = None,
    *,
    run: Annotated[str | None, typer.Option(help="the configuration of this run, under the overrides")] = None,
    folder: FolderOption = Path("runs"),
    config_dir: ConfigDirOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Print the resolved configuration as YAML, each key with its meaning."""
    from configs.compose import compose, compose_document
    from configs.redact import redacted
    from configs.render import to_yaml

    if run is None:
        composed = compose(overrides or [], config_dirs=config_dir or [])
    else:
        kept = find_run(run, folder).document()
        composed = compose_document(kept, overrides or [], config_dirs=config_dir or [])
    if output is OutputFormat.JSON:
        print_json(redacted(composed.document))
    else:
        console().print(to_yaml(composed.document, explain=True), soft_wrap=True, end="")
    return ExitCode.OK


@app.command()
def diff(
    left: _Side,
    right: _Side,
    *,
    folder: FolderOption = Path("runs"),
    config_dir: ConfigDirOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Compare two runs, or two lists of overrides, key by key.

    `elastic` keys do not change the result: a run may continue with another value.
    """
    from configs.convert import show_value
    from configs.difference import differences
    from configs.redact import redacted

    found = differences(*(redacted(_document(side, folder, config_dir or [])) for side in (left, right)))
    if output is OutputFormat.JSON:
        print_json([asdict(one) for one in found])
    elif not found:
        console().print("no difference")
    else:
        rows = (
            [one.path, show_value(one.left), show_value(one.right), "elastic" if one.elastic else ""] for one in found
        )
        print_table(("key", left or "defaults", right or "defaults", ""), rows)
    return ExitCode.OK


def _document(side: str, folder: Path, config_dirs: list[Path]) -> dict[str, Any]:
    """A side with `=` in it, or nothing at all, is a list of overrides; anything else names a run."""
    if side and "=" not in side:
        return find_run(side, folder).document()
    from configs.compose import compose
    from configs.errors import OverrideError, Problem
    from configs.sources import COMMAND_LINE

    try:
        overrides = shlex.split(side)
    except ValueError as error:
        problem = Problem("", f"{side!r} is no list of overrides: {error}", COMMAND_LINE, advice="close the quotes")
        raise OverrideError([problem]) from error
    return compose(overrides, config_dirs=config_dirs).document
