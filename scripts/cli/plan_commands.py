"""`plan`: what a run costs and how good it gets, before it starts. Each command lies in its own `plan_*.py`."""

import typer

from scripts.cli.commands import PlanGroup

app = typer.Typer(cls=PlanGroup, no_args_is_help=True, help="What a run costs and how good it gets.")


@app.callback()
def plan() -> None:
    """Say what a run costs and how good it gets, before it starts."""
