"""From overrides to a RunSpec: groups are composed by Hydra, interpolations resolved, then converted strictly."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.convert import from_document, show_value
from configs.documents import Document, flatten, to_document, with_defaults
from configs.errors import (
    ContinueError,
    FileError,
    InterpolationError,
    MissingValueError,
    OverrideError,
    Problem,
    SchemaError,
)
from configs.fingerprint import default_name
from configs.hydra_tree import ParsedOverride, compose_option, compose_tree, parse_overrides
from configs.schema import RunSpec, contradictions, doubts
from configs.sources import COMMAND_LINE, SearchPath, Sources

_GROUPS_THAT_MAY_CHANGE = ("checkpoint", "cluster", "engine")


@dataclass(frozen=True, slots=True)
class Composed:
    """A resolved configuration: as dataclasses, as JSON values, where each value came from, and what looks wrong."""

    spec: RunSpec
    document: Document
    sources: Sources
    warnings: tuple[str, ...] = ()


def compose(overrides: Sequence[str], *, config_dirs: Sequence[Path] = ()) -> Composed:
    """Return the configuration that `overrides` ask for. Folders of `config_dirs` are searched before ours.

    Raises a ConfigError: what, where, the value, what is allowed, and the next step. Reads files and the environment
    (`${oc.env:NAME}`), imports nothing that the configuration names.
    """
    search = search_path(config_dirs)
    tree, sources = compose_tree(parse_overrides(overrides, search), search)
    return _finish(tree, sources)


def compose_document(
    document: Mapping[str, Any],
    overrides: Sequence[str],
    *,
    origin: str = "the run's config.yaml",
    config_dirs: Sequence[Path] = (),
) -> Composed:
    """Return a kept configuration under `overrides`, for a run that continues. Raises a ConfigError.

    An option of a group sets the keys that it names and leaves the others as they are. Whether the result may
    continue the run is for `fingerprint.check_continues` to say.
    """
    search = search_path(config_dirs)
    parsed = parse_overrides(overrides, search)
    config = OmegaConf.create(copy.deepcopy(dict(document)))
    for override in parsed:
        try:
            _apply(config, override, search)
        except OmegaConfBaseException as error:
            message = f"override of {override.path} does not fit: {str(error).splitlines()[0]}"
            raise OverrideError([Problem("", message, COMMAND_LINE)]) from error
    by_path = {section: origin for section in document}
    by_path |= {override.path: COMMAND_LINE for override in parsed}
    tree = OmegaConf.to_container(config, resolve=False)
    assert isinstance(tree, dict)
    return _finish({str(key): value for key, value in tree.items()}, Sources(by_path))


def search_path(config_dirs: Sequence[Path]) -> SearchPath:
    """Return where groups are looked for: in `config_dirs`, then in ours. Raises FileError for what is no folder."""
    for folder in config_dirs:
        if not folder.expanduser().is_dir():
            raise FileError([Problem("--config-dir", "is not a folder", COMMAND_LINE, show_value(str(folder)))])
    return SearchPath.of(config_dirs)


def _finish(tree: Document, sources: Sources) -> Composed:
    tree = with_defaults(RunSpec, tree)
    _refuse_missing(tree, sources)
    spec = from_document(RunSpec, _resolve(OmegaConf.create(tree), sources), sources.of)
    problems = contradictions(spec)
    if problems:
        raise SchemaError([replace(problem, source=sources.of(problem.path)) for problem in problems])
    if spec.run.name is None:
        spec = replace(spec, run=replace(spec.run, name=default_name(to_document(spec))))
    return Composed(spec, to_document(spec), sources, tuple(doubts(spec)))


def _refuse_missing(tree: Document, sources: Sources) -> None:
    missing = sorted(path for path, value in flatten(tree) if value == MISSING)
    if missing:
        raise MissingValueError(
            [Problem(path, "is required", sources.of(path), advice=f"give {path}=VALUE") for path in missing]
        )


def _resolve(config: DictConfig, sources: Sources) -> Document:
    try:
        resolved = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        path = str(error.full_key or "")
        message = str(error).split("\n")[0]
        raise InterpolationError([Problem(path, message, sources.of(path), advice="correct the `${...}`")]) from error
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def _apply(config: DictConfig, override: ParsedOverride, search: SearchPath) -> None:
    path = override.path
    if override.is_delete:
        parent, _, key = path.rpartition(".")
        holder = OmegaConf.select(config, parent) if parent else config
        if not isinstance(holder, DictConfig) or key not in holder:
            raise SchemaError([Problem(path, "cannot be removed: it is not there", COMMAND_LINE)])
        del holder[key]
    elif override.is_group:
        if path not in _GROUPS_THAT_MAY_CHANGE:
            message = "cannot be chosen anew for a run that exists"
            advice = "start another run, with another run.name"
            raise ContinueError([Problem(path, message, COMMAND_LINE, advice=advice)])
        config.merge_with(compose_option(path, str(override.value), search))
    else:
        OmegaConf.update(config, path, override.value, merge=True, force_add=True)
