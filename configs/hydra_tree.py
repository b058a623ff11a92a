"""The only file that knows Hydra: overrides are parsed, and groups composed into one unresolved tree.

Nothing is ever instantiated: `_target_` stays text until a worker imports it (hydra.utils.instantiate on a
configuration from elsewhere runs whatever that says).
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.allowed import join_words
from configs.convert import show_value
from configs.documents import Document
from configs.errors import FileError, GroupError, OverrideError, Problem
from configs.redact import redacted_command
from configs.sources import COMMAND_LINE, OUR_FOLDER, SearchPath, Sources, show_path, trace

_HYDRA_VERSION = "1.3"
_SHORT = {"seed": "run.seed"}
"""Keys that everybody varies, and may be written short."""
Axis = tuple[str, tuple[str, ...]]
_searched: ContextVar[tuple[Path, ...]] = ContextVar("searched", default=())


class _UserFoldersFirst(SearchPathPlugin):
    """Puts the user's folders before ours; `hydra.searchpath` could only put them behind."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra whenever it is initialized, by whomever in this process: a no-op but for us."""
        for folder in _searched.get():
            search_path.prepend(provider="config-dir", path=f"file://{folder}", anchor="main")


Plugins.instance().register(_UserFoldersFirst)


@dataclass(frozen=True, slots=True)
class ParsedOverride:
    """One override of the command line: a group's option, a value, or a deletion."""

    text: str
    path: str
    value: Any
    is_group: bool
    is_delete: bool

    def for_hydra(self, our_groups: set[str]) -> str:
        """Return it as Hydra takes it: values are forced in, because our own schema says what exists."""
        bare = self.text.lstrip("+")
        if self.is_delete:
            return self.text
        if self.is_group:
            return bare if self.path in our_groups else f"+{bare}"
        return f"++{bare}"


def parse_overrides(overrides: Sequence[str], search: SearchPath) -> list[ParsedOverride]:
    """Return the overrides, checked for syntax and for options that exist. Raises OverrideError, GroupError."""
    groups = search.groups()
    parsed = [_parse(text, groups) for text in overrides]
    for override in parsed:
        if override.is_group and not override.is_delete:
            _check_option(override, search)
    return parsed


def compose_tree(overrides: Sequence[ParsedOverride], search: SearchPath) -> tuple[Document, Sources]:
    """Return the tree of `config.yaml` under the overrides, interpolations unresolved, and where its values are from.

    Raises GroupError for an option that a YAML file asks for and nobody has, FileError for files that do not compose.
    """
    our_groups = SearchPath.of(()).groups()
    lines = [override.for_hydra(our_groups) for override in overrides]
    with _hydra(search):
        tree = _container(compose("config", overrides=lines))
        loader = GlobalHydra.instance().config_loader()
        defaults = loader.compute_defaults_list("config", lines, RunMode.RUN).defaults
    files = []
    for entry in defaults:
        file = search.find(entry.config_path) if entry.config_path else None
        if file is not None and not str(entry.package).startswith("hydra"):
            content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
            files.append((file, entry.package or "", content))
    return tree, trace(files, [override.path for override in overrides if not override.is_group])


def compose_option(group: str, option: str, search: SearchPath) -> Document:
    """Return what one option of a group sets, alone, under its own package. Raises GroupError, FileError."""
    with _hydra(search):
        return _container(compose(f"{group}/{option}"))


def split_axes(overrides: Sequence[str], search: SearchPath, most: int) -> tuple[list[str], list[Axis]]:
    """Return the overrides that all runs of a sweep share, and the axes: each key with several values, as text.

    The grammar is Hydra's: `a,b`, `choice(...)`, `range(...)`, `glob(...)` over the options of a group, with `sort` and
    `shuffle`. Raises OverrideError, also for a range of more than `most` values, which is not written out.
    """
    shared: list[str] = []
    axes: list[Axis] = []
    for text in overrides:
        override = _parse_grammar(text)
        if override.is_sweep_override():
            axes.append(_axis(override, search, most))
        elif override.key_or_group in {key for key, _ in axes}:
            advice = "leave one of the two out"
            problem = Problem(override.key_or_group, "is swept, and then set to one value", COMMAND_LINE, advice=advice)
            raise OverrideError([problem])
        else:
            shared.append(text)
    return shared, axes


def _axis(override: Override, search: SearchPath, most: int) -> Axis:
    path = override.key_or_group
    if override.is_delete() or override.package is not None:
        message = f"{redacted_command([override.input_line or path])[0]!r} cannot be an axis"
        advice = "sweep over values of a key, or over the options of a group"
        raise OverrideError([Problem(path, message, COMMAND_LINE, advice=advice)])
    value = override.value()
    if isinstance(value, IntervalSweep):
        advice = "write the values, choice(...) or range(start,stop,step)"
        raise OverrideError([Problem(path, "an interval has no members of its own", COMMAND_LINE, advice=advice)])
    if isinstance(value, RangeSweep):
        _check_range(path, value, most)
    names = _values(override, search)
    if not names:
        raise OverrideError([Problem(path, "no value at all", COMMAND_LINE, advice="correct the range or the glob")])
    return path, tuple(names)


def _values(override: Override, search: SearchPath) -> list[str]:
    """Return the values; what is shuffled comes in the same order each time, for the same sweep is submitted once."""
    value = override.value()
    if isinstance(value, Glob):
        return value.filter(search.options(override.key_or_group))
    before = random.getstate()
    random.seed(override.input_line)
    try:
        return [str(each) for each in override.sweep_string_iterator()]
    finally:
        random.setstate(before)


def _check_range(path: str, values: RangeSweep, most: int) -> None:
    """Raise OverrideError for a range that is too long to be written out, or never ends."""
    if not values.step:
        advice = "leave the step out, or give one that is not 0"
        raise OverrideError([Problem(path, "the range has a step of 0", COMMAND_LINE, advice=advice)])
    count = (float(values.stop or 0) - float(values.start or 0)) / values.step
    if not count <= most:  # nor for one that is no number
        message = f"the range has {count:.0f} values, at most {most} are allowed"
        raise OverrideError([Problem(path, message, COMMAND_LINE, advice="split the sweep")])


def _parse_grammar(text: str) -> Override:
    key, equals, rest = text.partition("=")
    text = f"{_SHORT.get(key, key)}{equals}{rest}"
    try:
        override = OverridesParser.create().parse_override(text)
        if not override.key_or_group:
            raise HydraException("the key is missing")
    except HydraException as error:
        advice = "write KEY=VALUE; a value with spaces or marks needs quotes: 'KEY=\"a b\"'"
        problem = Problem("", f"override {redacted_command([text])[0]!r} cannot be parsed", COMMAND_LINE, advice=advice)
        raise OverrideError([problem]) from error
    if override.is_hydra_override():
        message = "Hydra's own settings have no effect here"
        raise OverrideError([Problem(override.key_or_group, message, COMMAND_LINE, advice="leave it out")])
    return override


def _parse(text: str, groups: set[str]) -> ParsedOverride:
    override = _parse_grammar(text)
    path = override.key_or_group
    if override.is_sweep_override():
        advice = "one run has one value; a list is written [a,b], and text with a comma 'KEY=\"a,b\"'; "
        advice += "`ostinato sweep` takes several"
        raise OverrideError(
            [Problem(path, f"{redacted_command([text])[0]!r} asks for several runs", COMMAND_LINE, advice=advice)]
        )
    is_group = override.package is None and (path in groups or "/" in path)
    return ParsedOverride(override.input_line or text, path, override.value(), is_group, override.is_delete())


def _check_option(override: ParsedOverride, search: SearchPath) -> None:
    options = search.options(override.path)
    chosen = override.value
    if isinstance(chosen, str) and chosen.removesuffix(".yaml") in options:
        return
    if isinstance(chosen, dict):
        message, advice = "an option of a group is a name", f"set its keys one by one: {override.path}.KEY=VALUE"
        raise GroupError([Problem(override.path, message, COMMAND_LINE, advice=advice)])
    shown = chosen if isinstance(chosen, str) else show_value(chosen)
    raise GroupError([_unknown_option(override.path, shown, options, COMMAND_LINE)])


def _unknown_option(group: str, chosen: str, options: Sequence[str], source: str | None) -> Problem:
    near = get_close_matches(chosen, options, n=1)
    advice = f"did you mean {near[0]}?" if near else "add your own YAML with --config-dir"
    message = f"must be {join_words(options)}" if options else "there is no such group"
    return Problem(group, message, source, chosen, advice)


@contextmanager
def _hydra(search: SearchPath) -> Iterator[None]:
    """Initialize Hydra on the search path, and turn everything that it can raise into our errors."""
    token = _searched.set(search.folders[:-1])
    # We may be called inside somebody's own Hydra application, and Hydra refuses to be initialized twice.
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir=str(OUR_FOLDER), job_name="ostinato", version_base=_HYDRA_VERSION):
            yield
    except MissingConfigException as error:
        group, _, option = (error.missing_cfg_file or "config").rpartition("/")
        problem = _unknown_option(group, option, error.options or search.options(group), _asking_file(error, search))
        raise GroupError([problem]) from error
    except yaml.MarkedYAMLError as error:
        raise FileError([_yaml_problem(error)]) from error
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        cause = error.__cause__ or error
        message = " ".join(str(cause).split("\nSee ")[0].split())
        raise FileError([Problem("", f"the configuration does not compose: {message}")]) from error
    finally:
        GlobalHydra.instance().hydra = outer
        _searched.reset(token)


def _asking_file(error: MissingConfigException, search: SearchPath) -> str | None:
    """Hydra names the asking file only in its text: `In 'recipe/mine': Could not find 'model/x'`."""
    quoted = str(error).split("'")
    file = search.find(quoted[1]) if str(error).startswith("In '") and len(quoted) > 1 else None
    return None if file is None else show_path(file)


def _yaml_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark
    place = None if mark is None else f"{show_path(Path(mark.name))}, line {mark.line + 1}"
    return Problem("", f"is not valid YAML: {error.problem}", place)


def _container(config: DictConfig) -> Document:
    tree = OmegaConf.to_container(config, resolve=False)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}
