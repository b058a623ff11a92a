"""Which commands there are, and where each is defined. A command's module is imported when the command is called.

Each command is defined once, as a function with Typer's annotations (or a Typer application for a group of commands).
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS: dict[str, str] = {
    "train": "train_commands:train",
    "resume": "train_commands:resume",
    "runs": "runs_commands:runs",
    "stop": "stop_command:stop",
    "submit": "submit_command:submit",
    "sweep": "sweep_command:sweep",
    "import": "import_command:import_",
    "ls": "ls_command:ls",
    "show": "show_command:show",
    "logs": "logs_command:logs",
    "why": "why_command:why",
    "wait": "wait_command:wait",
    "cancel": "job_commands:cancel",
    "hold": "job_commands:hold",
    "release": "job_commands:release",
    "requeue": "job_commands:requeue",
    "set": "job_commands:set_",
    "clone": "clone_commands:clone",
    "diff": "clone_commands:diff",
    "events": "events_command:events",
    "team": "team_commands:app",
    "pool": "pool_commands:app",
    "fairshare": "fairshare_command:fairshare",
    "up": "controller_commands:up",
    "down": "controller_commands:down",
    "status": "controller_commands:status",
    "agent": "agent_command:agent",
    "token": "token_commands:app",
    "report-checkpoint": "report_command:report_checkpoint",
    "checkpoints": "checkpoints_commands:app",
    "data": "data_commands:app",
    "config": "config_commands:app",
    "simulate": "simulate_command:simulate",
    "plan": "plan_commands:app",
    "doctor": "doctor_command:doctor",
}
"""The name of each command, and `module:what` below scripts.cli; in the order in which the help shows them."""


PLAN_COMMANDS: dict[str, str] = {
    "flops": "plan_flops:flops",
    "memory": "plan_memory:memory",
    "time": "plan_time:time",
    "cost": "plan_cost:cost",
    "fit": "plan_fit:fit",
    "predict": "plan_predict:predict",
    "backtest": "plan_backtest:backtest",
    "sweep": "plan_sweep:sweep",
    "ingest": "plan_ingest:ingest",
    "next": "plan_next:next_",
    "recommend": "plan_recommend:recommend",
    "verify": "plan_verify:verify",
    "report": "plan_report:report",
}
"""The same of `ostinato plan`."""


def load(name: str, table: Mapping[str, str] | None = None) -> "Callable[..., int] | typer.Typer":
    """Return the function of a command, or the application of a group of them. Raises KeyError."""
    module, _, what = (COMMANDS if table is None else table)[name].partition(":")
    found: Callable[..., int] | typer.Typer = getattr(import_module(f"scripts.cli.{module}"), what)
    return found


class Commands(MutableMapping[str, Any]):
    """The commands as Typer has them, each made when it is looked up. Asking for names alone imports nothing."""

    def __init__(self, table: Mapping[str, str]) -> None:
        self._table = table
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(name, load(name, self._table))
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"command {name!r} cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


class CommandGroup(TyperGroup):
    """The root command, with the commands of COMMANDS."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.commands = Commands(COMMANDS)


class PlanGroup(TyperGroup):
    """`ostinato plan`, with the commands of PLAN_COMMANDS."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.commands = Commands(PLAN_COMMANDS)


def _made(name: str, found: "Callable[..., int] | typer.Typer") -> Any:
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name)(found)
    return typer.main.get_command(single)
