"""The machines we know, from the tables beside this file and from what the user says instead."""

import csv
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path

from planner.errors import BadInputError, UnknownNameError
from planner.hardware.machines import Accelerator, Instance, Price, Terms

GIB = 1 << 30
_GIGA, _TERA = 1e9, 1e12
_TABLES = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Machines by name, and their prices. What is missing is missing: `why_no_price` says why."""

    accelerators: Mapping[str, Accelerator]
    instances: Mapping[str, Instance]
    prices: Mapping[tuple[str, Terms], Price]
    why_no_price: Mapping[str, str] = field(default_factory=dict)

    def instance(self, name: str) -> Instance:
        """Return an instance by its name (`p5.48xlarge`), its family (`p5`: the largest) or its accelerator (`h100`).

        Raises UnknownNameError.
        """
        wanted = name.strip().lower()
        if wanted in self.instances:
            return self.instances[wanted]
        family = [instance for key, instance in self.instances.items() if key.partition(".")[0] == wanted]
        device = [one for one in self.instances.values() if one.accelerator.name.startswith(wanted)]
        for found in (family, device):
            if found and wanted:
                return max(found, key=lambda instance: instance.count)
        near = difflib.get_close_matches(wanted, [*self.instances, *self.accelerators], n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(self.instances)}"
        raise UnknownNameError(f"hardware {name!r}: there is no such instance or accelerator; {hint}")

    def price(self, instance: Instance, terms: Terms = Terms.ON_DEMAND) -> Price | None:
        """Return the dated price of an instance; None where none is known."""
        return self.prices.get((instance.name, terms))


@cache
def default_catalogue() -> Catalogue:
    """Return the tables of this package."""
    accelerators = {row["name"]: accelerator_of(row) for row in _rows(_TABLES / "accelerators.csv")}
    instances = {row["name"]: instance_of(row, accelerators) for row in _rows(_TABLES / "instances.csv")}
    prices: dict[tuple[str, Terms], Price] = {}
    missing: dict[str, str] = {}
    for row in _rows(_TABLES / "prices.csv"):
        if row["usd_per_hour"]:
            prices[row["instance"], Terms(row["terms"])] = price_of(row)
        else:
            missing[row["instance"]] = row["source"]
    return Catalogue(accelerators, instances, prices, missing)


def accelerator_of(row: Mapping[str, str]) -> Accelerator:
    """Return the accelerator that a row of accelerators.csv describes. Raises BadInputError."""
    fp8, fp32 = number(row, "fp8_tflops", optional=True), number(row, "fp32_tflops", optional=True)
    return Accelerator(
        name=row["name"],
        title=row.get("title") or row["name"],
        platform=row.get("platform") or "cuda",
        memory_bytes=round(required(row, "memory_gib") * GIB),
        memory_bytes_per_s=required(row, "memory_gbps") * _GIGA,
        bf16_flops_per_s=required(row, "bf16_tflops") * _TERA,
        fp8_flops_per_s=None if fp8 is None else fp8 * _TERA,
        fp32_flops_per_s=None if fp32 is None else fp32 * _TERA,
        source=row.get("source") or "the user",
    )


def instance_of(row: Mapping[str, str], accelerators: Mapping[str, Accelerator]) -> Instance:
    """Return the instance that a row of instances.csv describes. Raises BadInputError, UnknownNameError."""
    if row["accelerator"] not in accelerators:
        known = f"known: {', '.join(accelerators)}"
        raise UnknownNameError(f"instance {row['name']}: accelerator {row['accelerator']!r} is not known; {known}")
    return Instance(
        name=row["name"],
        accelerator=accelerators[row["accelerator"]],
        count=int(required(row, "count")),
        intra_node_bytes_per_s=required(row, "intra_node_gbps") * _GIGA,
        inter_node_bytes_per_s=required(row, "inter_node_gbit_per_s") * _GIGA / 8,
        source=row.get("source") or "the user",
    )


def price_of(row: Mapping[str, str]) -> Price:
    """Return the price that a row of prices.csv describes. Raises BadInputError, without its date above all."""
    where = f"price of {row.get('instance')}"
    try:
        as_of = date.fromisoformat(str(row.get("as_of") or ""))
        terms = Terms(row.get("terms") or Terms.ON_DEMAND)
    except ValueError as error:
        raise BadInputError(
            f"{where}: {error}; a price needs as_of: YYYY-MM-DD, and terms: {' or '.join(Terms)}"
        ) from None
    return Price(required(row, "usd_per_hour"), as_of, terms, row.get("region") or "-", row.get("source") or "the user")


def required(row: Mapping[str, str], column: str) -> float:
    """Return a number that must be there. Raises BadInputError."""
    found = number(row, column)
    if found is None:
        raise BadInputError(f"{row.get('name') or row.get('instance')}: {column} is missing")
    return found


def number(row: Mapping[str, str], column: str, *, optional: bool = False) -> float | None:
    """Return a number that is not negative; None where the cell is empty. Raises BadInputError."""
    text = str(row.get(column) or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf") or (optional and value == 0.0):
        raise BadInputError(f"{row.get('name') or row.get('instance')}: {column} = {text!r}: must be a positive number")
    return value


def _rows(path: Path) -> Iterable[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
