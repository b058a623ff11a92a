"""Machines and prices that the user knows better: a YAML or CSV file over the tables of this package.

YAML has lists `accelerators`, `instances` and `prices` with the columns of the tables beside this file; a row whose
name is known needs only what differs. CSV holds prices alone: instance, usd_per_hour, as_of, and optionally terms,
region, source.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planner.errors import BadInputError
from planner.hardware.catalogue import (
    GIB,
    Catalogue,
    accelerator_of,
    default_catalogue,
    instance_of,
    price_of,
)
from planner.hardware.machines import Accelerator, Instance, Price, Terms

_SECTIONS = ("accelerators", "instances", "prices")


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Return the known machines with those of `path` over them. Raises BadInputError, UnknownNameError."""
    base = default_catalogue()
    return base if path is None else overridden(base, _read(path), where=str(path))


def overridden(base: Catalogue, sections: Mapping[str, list[dict[str, str]]], *, where: str) -> Catalogue:
    """Return `base` with the rows of `sections` over its own. Raises BadInputError, UnknownNameError."""
    accelerators: dict[str, Accelerator] = dict(base.accelerators)
    for row in sections.get("accelerators", ()):
        known = accelerators.get(_named(row, "name", where))
        accelerators[row["name"]] = accelerator_of({**({} if known is None else _accelerator_row(known)), **row})
    instances: dict[str, Instance] = {
        name: instance_of(_instance_row(instance), accelerators) for name, instance in base.instances.items()
    }
    for row in sections.get("instances", ()):
        beneath = instances.get(_named(row, "name", where))
        merged = {**({} if beneath is None else _instance_row(beneath)), **row}
        instances[row["name"]] = instance_of(merged, accelerators)
    prices: dict[tuple[str, Terms], Price] = dict(base.prices)
    for row in sections.get("prices", ()):
        name = _named(row, "instance", where)
        if name not in instances:
            raise BadInputError(f"{where}: prices: {name!r} is no instance; known: {', '.join(instances)}")
        price = price_of({"source": where, **row})
        prices[name, price.terms] = price
    return Catalogue(accelerators, instances, prices, base.why_no_price)


def _read(path: Path) -> dict[str, list[dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: is no text in UTF-8: must be YAML, or a CSV of prices") from error
    if path.suffix.lower() == ".csv":
        try:
            return {"prices": list(csv.DictReader(text.splitlines()))}
        except csv.Error as error:
            raise BadInputError(f"{path}: is no CSV: {error}") from error
    return _sections(_parsed(text, path), path)


def _parsed(text: str, path: Path) -> Any:
    import yaml  # noqa: PLC0415 - only who brings a file of their own needs it

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInputError(f"{path}: is no YAML: {error}") from error


def _sections(found: Any, path: Path) -> dict[str, list[dict[str, str]]]:
    if not isinstance(found, dict) or set(found) - set(_SECTIONS):
        raise BadInputError(f"{path}: must hold lists named {', '.join(_SECTIONS)}, and nothing else")
    sections: dict[str, list[dict[str, str]]] = {}
    for name, rows in found.items():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BadInputError(f"{path}: {name}: must be a list of mappings")
        sections[name] = [{str(key): "" if value is None else str(value) for key, value in row.items()} for row in rows]
    return sections


def _named(row: Mapping[str, str], key: str, where: str) -> str:
    if not row.get(key):
        raise BadInputError(f"{where}: a row without {key}: {dict(row)}")
    return row[key]


def _accelerator_row(known: Accelerator) -> dict[str, str]:
    def tera(value: float | None) -> str:
        return "" if value is None else repr(value / 1e12)

    return {
        "name": known.name,
        "title": known.title,
        "platform": known.platform,
        "memory_gib": repr(known.memory_bytes / GIB),
        "memory_gbps": repr(known.memory_bytes_per_s / 1e9),
        "bf16_tflops": tera(known.bf16_flops_per_s),
        "fp8_tflops": tera(known.fp8_flops_per_s),
        "fp32_tflops": tera(known.fp32_flops_per_s),
    }


def _instance_row(known: Instance) -> dict[str, str]:
    return {
        "name": known.name,
        "accelerator": known.accelerator.name,
        "count": str(known.count),
        "intra_node_gbps": repr(known.intra_node_bytes_per_s / 1e9),
        "inter_node_gbit_per_s": repr(known.inter_node_bytes_per_s * 8 / 1e9),
        "source": known.source,
    }
