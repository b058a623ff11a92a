"""`fairshare`: who uses how much, and who is entitled to how much."""

from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, print_json, print_table, say
from scripts.cli.queue_connection import connect


def fairshare(*, output: OutputOption = OutputFormat.TEXT) -> int:
    """Show each team's share of what is in use against what it is entitled to."""
    with connect() as client:
        rows = client.fair_share()
    if output is OutputFormat.JSON:
        print_json(rows)
    elif not rows:
        say("no team has asked for anything yet")
    else:
        columns = list(rows[0])
        print_table([column.replace("_", " ") for column in columns], [[row[c] for c in columns] for row in rows])
    return ExitCode.OK
