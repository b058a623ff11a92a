"""`./scripts/bench NAME [--quick|--full] [--chaos] [--part PART] [--json FILE]`."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from scripts.benchmarks import discovery, harness, machine, report
from scripts.benchmarks.contest import Bench, Effort, Suite

UNKNOWN_NAME = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark, print its table and keep its JSON; or list the benchmarks. Return the exit code.

    A missed goal is a result, not an error: the exit code is 0.
    """
    options = _parse(arguments)
    titles = discovery.titles(Path(__file__).parent)
    if options.list:
        print(_listing(titles))
        return 0
    if options.name not in titles:
        what = "no name given" if options.name is None else f"no benchmark is called {options.name!r}"
        print(f"bench: {what}; there are:\n{_listing(titles)}", file=sys.stderr)
        return UNKNOWN_NAME
    parts = _parts(discovery.load(options.name), options)
    if not parts:
        print(f"bench: {options.name} has no part {', '.join(options.part)}", file=sys.stderr)
        return UNKNOWN_NAME
    _run(options, parts)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./scripts/bench", description="Run one benchmark.")
    parser.add_argument("name", nargs="?", help="which one")
    parser.add_argument("--list", action="store_true", help="name the benchmarks")
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--quick", dest="effort", action="store_const", const=Effort.QUICK, help="fewer rounds")
    effort.add_argument("--full", dest="effort", action="store_const", const=Effort.FULL, help="more rounds")
    parser.add_argument("--chaos", action="store_true", help="also the parts that kill processes, for minutes")
    parser.add_argument("--part", action="append", default=[], help="only this part of the benchmark; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    parser.set_defaults(effort=Effort.NORMAL)
    options = parser.parse_args(arguments)
    if options.json is not None and not options.json.absolute().parent.is_dir():
        parser.error(f"--json {options.json}: there is no folder {options.json.absolute().parent}")
    return options


def _listing(titles: Mapping[str, str]) -> str:
    width = max((len(name) for name in titles), default=0)
    return "\n".join(f"  {name:<{width}}  {title}" for name, title in titles.items()) or "  none yet"


def _parts(bench: Bench | Suite, options: argparse.Namespace) -> dict[str, Bench]:
    if isinstance(bench, Bench):
        return {options.name: bench}
    chosen = {**bench.parts, **(bench.chaos if options.chaos else {})}
    return {name: part for name, part in chosen.items() if not options.part or name in options.part}


def _run(options: argparse.Namespace, parts: Mapping[str, Bench]) -> None:
    date = datetime.now(UTC)
    described = machine.describe_machine()  # before the rounds, so that the load is not our own
    results = []
    for name, part in parts.items():
        if len(parts) > 1:
            print(f"{name}, at {datetime.now(UTC):%H:%M:%S}", file=sys.stderr, flush=True)
        results += harness.run(part, options.effort, _print_round)
    versions = machine.versions(dict.fromkeys(package for part in parts.values() for package in part.packages))
    document = report.document(options.name, date, described, versions, results)
    report.print_table(document, results)
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def _print_round(number: int, num_rounds: int, figures: harness.Round) -> None:
    told = "; ".join(
        f"{name}: " + ", ".join(f"{figure} {value:.4g}" for figure, value in values.items())
        for name, values in figures.items()
    )
    print(f"round {number} of {num_rounds}: {told}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
