"""`data build` and `data show`."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.exit_codes import ExitCode
from scripts.cli.output import OutputFormat, OutputOption, format_bytes, print_facts, print_json, print_table
from scripts.cli.storage_options import StorageOptions, parse_options

if TYPE_CHECKING:
    from recipes.catalogue_report import CatalogueDescription

app = typer.Typer(help="Build and look at training data.", no_args_is_help=True)


class DataSet(StrEnum):
    """What `data build` can build."""

    CATALOGUE = "catalogue"
    SAMPLE = "sample"


@app.command()
def build(
    data_set: Annotated[DataSet, typer.Argument(help="the whole catalogue, or the sample in the repository")],
    *,
    out: Annotated[str, typer.Option(help="folder or fsspec URL to write to")],
    packages: Annotated[str | None, typer.Option(help="folder with node_modules; else npm fetches them")] = None,
    vendor: Annotated[list[str] | None, typer.Option(help="only this vendor; may be repeated")] = None,
    locale: Annotated[list[str] | None, typer.Option(help="only this locale; may be repeated")] = None,
    storage_option: StorageOptions = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Build the symbol catalogue from npm packages into Parquet shards with an index."""
    from recipes.catalogue_build import build_catalogue, build_sample

    progress = _progress()
    if data_set is DataSet.SAMPLE:
        if vendor or locale or storage_option:
            raise CommandError("data build sample: vendors and locales of the sample are fixed; leave the options out")
        report = build_sample(out, packages_folder=packages, progress=progress)
    else:
        chosen: dict[str, Any] = {"vendors": tuple(vendor)} if vendor else {}
        report = build_catalogue(
            out,
            packages_folder=packages,
            storage_options=parse_options(storage_option),
            locales=tuple(locale) if locale else None,
            progress=progress,
            **chosen,
        )
    if output is OutputFormat.JSON:
        print_json(asdict(report))
    else:
        _print(
            report.catalogue, {"built in": f"{report.seconds:.0f} s", "train with": f"data=catalogue data.url={out}"}
        )
    return ExitCode.OK


@app.command()
def show(
    url: Annotated[str | None, typer.Argument(help="folder or URL; left out: the sample in the repository")] = None,
    *,
    storage_option: StorageOptions = None,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Show what a catalogue holds, from its index alone."""
    from recipes.catalogue_report import describe_catalogue

    catalogue = describe_catalogue(url, parse_options(storage_option))
    if output is OutputFormat.JSON:
        print_json(asdict(catalogue))
    else:
        _print(catalogue, {})
        print_table(("vendor", "pictures"), catalogue.vendors.items())
        print_table(("locale", "names"), catalogue.locales.items())
    return ExitCode.OK


def _print(catalogue: "CatalogueDescription", more: dict[str, object]) -> None:
    facts: dict[str, object] = {
        "catalogue": catalogue.url,
        "fingerprint": catalogue.fingerprint,
        "entities": f"{catalogue.entities} ({catalogue.base_entities} base, {catalogue.flags} flags)",
        "leak groups": catalogue.leak_groups,
        "rows": f"{catalogue.rows} in {catalogue.shards} shards, {format_bytes(catalogue.size_bytes)}",
        "pictures": f"{catalogue.image_size_px} pixels, {len(catalogue.vendors)} vendors",
        "locales": f"{len(catalogue.locales)}, {catalogue.locales_with_many_names} of them with 3,000 names or more",
    }
    print_facts({**facts, **more})


def _progress() -> Callable[[str, int, int], None]:
    """Return a callback that shows stages: rewritten in place on a terminal, one line a stage elsewhere."""
    seen: list[str] = []

    def show_stage(stage: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{stage} {done}/{total}" + ("\n" if done >= total else ""))
        elif stage not in seen:
            seen.append(stage)
            sys.stderr.write(f"{stage} ({total})\n")
        sys.stderr.flush()

    return show_stage
