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
    """Compute published numbers again; ends with 1 where one is missed that this version is not known to miss."""
    from planner.errors import NoReferenceDataError
    from planner.verification.suites import SUITES, checks_of, suite_named

    is_json = as_json or output is OutputFormat.JSON
    chosen = list(suites or SUITES)
    for name in chosen:
        suite_named(name)  # what there is not is refused before minutes go into what there is
    results: dict[str, Any] = {}
    failed = False
    for name in chosen:
        try:
            checks = checks_of(name)
        except NoReferenceDataError as error:
            results[name] = {"skipped": str(error)}
            if not is_json:
                say(f"{name}: skipped: {error}\n")
            continue
        failed |= any(check.has_failed for check in checks)
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
            check.name, f"{check.expected:.10g}", f"{check.found:.10g}", _verdict(check), check.tolerance,
        )
        for check in checks
    ]  # fmt: skip
    print_table(("check", "source says", "ours", "", "tolerance"), rows)
    for check in checks:
        if not check.is_met:
            say(f"{check.name}: {_verdict(check)}: {check.note or 'it was met until now'} ({check.source})")
    say("")


def _verdict(check: "Check") -> str:
    if check.is_met:
        return "met"
    return "known miss" if check.is_known_miss else "MISSED"
