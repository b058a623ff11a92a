"""`team ls|set`."""

from typing import Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, print_json, print_table, say
from scripts.cli.queue_connection import connect

app = typer.Typer(help="Teams: who shares with whom.", no_args_is_help=True)


@app.command("ls")
def list_(*, output: OutputOption = OutputFormat.TEXT) -> int:
    """List the teams."""
    with connect() as client:
        teams = client.teams()
    if output is OutputFormat.JSON:
        print_json(teams)
    else:
        print_table(("team", "weight", "quota", "most queued"), [_row(team) for team in teams])
    return ExitCode.OK


@app.command("set")
def set_(
    team: Annotated[str, typer.Argument(metavar="TEAM")],
    *,
    weight: Annotated[float | None, typer.Option(help="more is more")] = None,
    quota: Annotated[str | None, typer.Option(help="chips in use at most; 0: nothing starts; none: no cap")] = None,
    max_queued: Annotated[str | None, typer.Option(help="jobs that may wait at once, or none")] = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Make a team, or change one; what is not given stays."""
    changes: dict[str, Any] = {} if weight is None else {"weight": weight}
    for name, text in (("quota", quota), ("max_queued", max_queued)):
        if text is not None:
            changes[name] = _cap(text, f"--{name.replace('_', '-')}")
    with connect() as client:
        found = client.set_team(team, **changes)
    if output is OutputFormat.JSON:
        print_json(found)
    else:
        name, weight_now, quota_now, _ = _row(found)
        say(f"team {name} has weight {weight_now:g} and quota {quota_now}")
    return ExitCode.OK


def _cap(text: str, where: str) -> int:
    if text == "none":
        return -1
    if not text.isdigit():
        raise CommandError(f"{where} {text}: write a whole number, or none")
    return int(text)


def _row(team: dict[str, Any]) -> tuple[str, float, object, object]:
    return team["name"], team["weight"], _or_none(team["quota"]), _or_none(team["max_queued"])


def _or_none(cap: int | None) -> object:
    return "none" if cap is None else cap
