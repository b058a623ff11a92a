"""`plan verify`: published numbers computed again, each beside its source."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import JsonOption, OutputFormat, OutputOption, print_json, print_table, say

if TYPE_CHECKING:
    from planner.verification.check import Check


def verify(
    suites: Annotated[list[str] | None, typer.Argument(metavar="[SUITE...]", help="left out: all")] = None,
    *,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Compute published numbers again; ends with 1 where one is missed and not explained."""
    from planner.errors import NoReferenceDataError
    from planner.verification.suites import SUITES, suite_named

    is_json = as_json or output is OutputFormat.JSON
    chosen = {name: suite_named(name) for name in suites or SUITES}
    results: dict[str, Any] = {}
    failed = False
    for name, suite in chosen.items():
        try:
            checks = suite()
        except NoReferenceDataError as error:
            results[name] = {"skipped": str(error)}
            if not is_json:
                say(f"{name}: skipped: {error}\n")
            continue
        failed |= any(not check.is_met and not check.note for check in checks)
        results[name] = {"met": sum(check.is_met for check in checks), "checks": [asdict(check) for check in checks]}
        if not is_json:
            _print(name, checks)
    if is_json:
        print_json({"suites": results, "failed": failed})
    return ExitCode.FAILED if failed else ExitCode.OK


def _print(name: str, checks: "Sequence[Check]") -> None:
    met = sum(check.is_met for check in checks)
    say(f"{name}: {met} of {len(checks)} met")
    rows = [
        (
            check.name, f"{check.expected:.10g}", f"{check.found:.10g}", "met" if check.is_met else "MISSED",
            check.tolerance,
        )
        for check in checks
    ]  # fmt: skip
    print_table(("check", "source says", "ours", "", "tolerance"), rows)
    for check in checks:
        if not check.is_met:
            say(f"{check.name}: {check.note or 'missed, and not explained'} ({check.source})")
    say("")
