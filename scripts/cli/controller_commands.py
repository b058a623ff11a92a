"""`up`, `down` and `status`: the controller and its local agent."""

import os
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from batch.client import Client
from batch.errors import BatchQueueError, ControllerUnreachable
from batch.state_folder import StateFolder, find_controller
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, format_duration, print_facts, print_json, say


def up(
    *,
    host: Annotated[
        str | None, typer.Option(help="address to serve at; beyond this machine only with tokens [127.0.0.1]")
    ] = None,
    port: Annotated[int, typer.Option(help="0: 8733 if it is free, else any")] = 0,
    db: Annotated[str | None, typer.Option(help="database [queue.db in $OSTINATO_HOME or ~/.ostinato]")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="return once it serves")] = False,
    no_agent: Annotated[bool, typer.Option("--no-agent", help="run no jobs on this machine")] = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Start a controller, and an agent that runs jobs on this machine. Ctrl-C ends both; what runs goes on."""
    from scripts.embedded import follow, start_controller, stop_controller

    folder = StateFolder.of_user()
    record = start_controller(folder, host=host, port=port, database=db, with_agent=not no_agent)
    if output is OutputFormat.JSON:
        print_json({**asdict(record), "folder": str(folder.path)})
    else:
        say(f"serving at {record.url}, pid {record.pid}, state in {folder.path}")
    if detach:
        return ExitCode.OK
    try:
        follow(folder)
    except KeyboardInterrupt:
        sys.stderr.write("\nending the controller; jobs that run go on, and are adopted at the next `ostinato up`\n")
        stop_controller(folder)
        return ExitCode.OK
    sys.stderr.write(f"ostinato: the controller has ended; {folder.logs_path / 'controller.log'} says why\n")
    return ExitCode.ENVIRONMENT


def down(*, output: OutputOption = OutputFormat.TEXT) -> int:
    """End the user's own controller and its agent. Jobs that run go on, and are adopted at the next `up`."""
    from scripts.embedded import stop_controller

    folder = StateFolder.of_user()
    stopped = stop_controller(folder)
    if output is OutputFormat.JSON:
        print_json({"stopped": stopped})
    elif stopped:
        say(f"ended {' and '.join(stopped)}; jobs that run go on")
    else:
        say(f"no controller of {folder.path} runs")
    return ExitCode.OK


def status(*, output: OutputOption = OutputFormat.TEXT) -> int:
    """Say whether the controller answers, and how it is. Exit code 4 when it does not.

    The user's own agent is started again when it has died.
    """
    from scripts.embedded import revive_agent

    facts: dict[str, object] = {"controller": "none was ever started or configured"}
    code = ExitCode.ENVIRONMENT
    try:
        address = find_controller()
        facts["controller"] = address.url
        with Client(address) as client:
            health = client.health()
            facts |= {"status": health["status"], "up for": format_duration(health["uptime_s"])}
            facts |= {"events": health["seq"], "epoch": health["epoch"]}
            if health["failure"]:
                facts["failure"] = health["failure"]
            code = ExitCode.OK if health["status"] == "ok" else ExitCode.ENVIRONMENT
            facts["pools"] = ", ".join(pool["name"] for pool in client.pools()) or "none yet"
    except ControllerUnreachable as error:
        facts["status"] = f"unreachable: {error}"
    except BatchQueueError as error:
        facts["access"] = str(error)
    if not os.environ.get("OSTINATO_CONTROLLER"):
        folder = StateFolder.of_user()
        facts["folder"] = str(folder.path)
        if code is ExitCode.OK and revive_agent(folder):
            facts["agent"] = f"had ended ({folder.logs_path / 'agent.log'} says why); started again"
    if output is OutputFormat.JSON:
        print_json({name.replace(" ", "_"): value for name, value in facts.items()})
    else:
        print_facts(facts)
    return code
