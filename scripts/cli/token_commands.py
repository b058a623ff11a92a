"""`token ls|create|revoke`."""

import time
from typing import Annotated

import typer

from scripts.cli.durations import parse_duration
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, format_age, format_duration, print_json, print_table, say
from scripts.cli.queue_connection import connect

app = typer.Typer(help="Tokens: who may speak to the controller.", no_args_is_help=True)


@app.command("ls")
def list_(*, output: OutputOption = OutputFormat.TEXT) -> int:
    """List the tokens; their secrets are kept nowhere."""
    with connect() as client:
        tokens = client.tokens()
    if output is OutputFormat.JSON:
        print_json(tokens)
    else:
        rows = (
            [one["name"], one["role"], one["team"], format_age(one["created_s"]), _left(one["expires_s"])]
            for one in tokens
        )
        print_table(("name", "role", "team", "made", "expires"), rows)
    return ExitCode.OK


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="whose it is; their jobs are of this user")],
    *,
    role: Annotated[str, typer.Option(help="submitter, team_admin, operator or agent")] = "submitter",
    team: Annotated[str | None, typer.Option(help="good for this team only")] = None,
    expires: Annotated[str | None, typer.Option(help="after this long, such as 90d")] = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Make a token, and show it this once."""
    lasts_s = parse_duration(expires, "--expires")
    expires_s = None if lasts_s is None else time.time() + lasts_s
    with connect() as client:
        found = client.create_token(name=name, role=role, team=team, expires_s=expires_s)
    if output is OutputFormat.JSON:
        print_json(found)
    else:
        say(found["token"])
    return ExitCode.OK


@app.command()
def revoke(name: Annotated[str, typer.Argument(metavar="NAME")], *, output: OutputOption = OutputFormat.TEXT) -> int:
    """End a token at once."""
    with connect() as client:
        found = client.revoke_token(name)
    if output is OutputFormat.JSON:
        print_json(found)
    else:
        say(f"token {name} is revoked")
    return ExitCode.OK


def _left(expires_s: float | None) -> str:
    if expires_s is None:
        return "never"
    left_s = expires_s - time.time()
    return f"in {format_duration(left_s)}" if left_s > 0 else f"expired {format_age(expires_s)}"
