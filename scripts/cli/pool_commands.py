"""`pool ls|drain`."""

from typing import Annotated, Any

import typer

from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, format_duration, plural, print_json, print_table, say
from scripts.cli.queue_connection import connect

app = typer.Typer(help="Pools: where jobs run.", no_args_is_help=True)

_SILENT_S = 30.0


@app.command("ls")
def list_(*, output: OutputOption = OutputFormat.TEXT) -> int:
    """List the pools, what they have, and whether their agents speak."""
    with connect() as client:
        pools = client.pools()
    if output is OutputFormat.JSON:
        print_json(pools)
    elif not pools:
        say("no agent has spoken for a pool yet: `ostinato up` starts a local one, `ostinato agent` one elsewhere")
    else:
        print_table(("pool", "nodes", "gpus", "cpus", "jobs", "agent", ""), [_row(pool) for pool in pools])
    return ExitCode.OK


@app.command()
def drain(
    pool: Annotated[str, typer.Argument(metavar="POOL")],
    *,
    undo: Annotated[bool, typer.Option("--undo", help="let jobs start there again")] = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Let nothing new start in a pool; what runs there goes on."""
    with connect() as client:
        found = client.drain(pool, drained=not undo)
    if output is OutputFormat.JSON:
        print_json(found)
    else:
        how = f"is drained; {plural(found['jobs'], 'job')} there" if found["drained"] else "takes jobs again"
        say(f"pool {pool} {how}")
    return ExitCode.OK


def _row(pool: dict[str, Any]) -> list[object]:
    nodes = pool["nodes"]
    silent_s = pool["silent_s"]
    agent = "speaks" if silent_s < _SILENT_S else f"silent for {format_duration(silent_s)}"
    gpus, cpus = (sum(node[kind] for node in nodes) for kind in ("gpus", "cpus"))
    remarks = [word for word in ("drained" if pool["drained"] else "", pool["trouble"]) if word]
    return [pool["name"], len(nodes), gpus, cpus, pool["jobs"], agent, "; ".join(remarks)]
