"""What `plan memory`, `plan time` and `plan cost` are asked: a model, machines and a layout. Defined once."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, date, datetime
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.output import say

if TYPE_CHECKING:
    from planner.architectures.model import Model
    from planner.architectures.operations import BatchShape
    from planner.hardware import Catalogue, Instance
    from planner.layout import Layout, Shape
    from planner.memory_profile import MemoryProfile
    from planner.memory_verdict import Verdict
    from planner.time_calibration import Calibration
    from planner.time_profile import TimeProfile
    from planner.time_step import StepTime

_MODEL = "name of a known model, a config.json or its folder, or recipe=... with overrides"
_HARDWARE = "instance or accelerator: p5, h100, trn1.32xlarge"


@dataclass(frozen=True)
class SystemOptions:
    """The options of one command line, as they were given."""

    model: Annotated[list[str], typer.Argument(metavar="MODEL...", help=_MODEL)]
    hw: Annotated[str, typer.Option(help=_HARDWARE)] = "p5"
    gpus: Annotated[int, typer.Option(min=1, help="accelerators in all")] = 8
    zero: Annotated[int, typer.Option(min=0, max=3, help="ZeRO stage")] = 0
    tp: Annotated[int, typer.Option(min=1, help="tensor parallelism")] = 1
    pp: Annotated[int, typer.Option(min=1, help="pipeline stages")] = 1
    cp: Annotated[int, typer.Option(min=1, help="context parallelism")] = 1
    ep: Annotated[int, typer.Option(min=1, help="expert parallelism, within the replicas")] = 1
    interleave: Annotated[int, typer.Option(min=1, help="groups of layers on each pipeline stage")] = 1
    micro_batch: Annotated[int, typer.Option(min=1, help="samples in one forward pass")] = 1
    batch: Annotated[int | None, typer.Option(min=1, help="samples of a step; left out: one micro-batch each")] = None
    recompute: Annotated[str, typer.Option(help="none, selective or full")] = "none"
    precision: Annotated[str, typer.Option(help="bf16, fp32 or fp8")] = "bf16"
    optimizer: Annotated[str, typer.Option(help="adamw, adamw8bit or sgd")] = "adamw"
    offload: Annotated[str, typer.Option(help="none, optimizer or parameters")] = "none"
    sequence_parallel: Annotated[bool, typer.Option(help="with tensor parallelism")] = True
    seq: Annotated[int | None, typer.Option(min=1, help="tokens of a text; left out: the model's own")] = None
    image: Annotated[int | None, typer.Option(min=1, help="side of pictures in pixels")] = None
    machines: Annotated[Path | None, typer.Option(help="your own machines and prices: YAML or CSV")] = None
    calibration: Annotated[Path | None, typer.Option(help="constants of time fitted to your own runs: CSV")] = None


def with_system_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of SystemOptions, before its own; it gets them as its first argument, `options`."""
    common = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD if field.default is MISSING else inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=field.type,
        )
        for field in fields(SystemOptions)
    ]
    own = [one for one in inspect.signature(command).parameters.values() if one.name != "options"]

    @wraps(command)
    def called(*args: Any, **given: Any) -> int:
        for name, value in zip((parameter.name for parameter in common), args, strict=False):
            given[name] = value
        shared = {field.name: given.pop(field.name, field.default) for field in fields(SystemOptions)}
        return command(SystemOptions(**shared), **given)

    parameters = [*common, *own]
    called.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": int}
    return called


class System:
    """The model on the machines, laid out: what the options mean. Raises BadInputError and CommandError."""

    def __init__(self, options: SystemOptions, *, hw: str | None = None) -> None:
        from planner.hardware import load_catalogue

        self.options = options
        self.catalogue: Catalogue = load_catalogue(options.machines)
        self.instance: Instance = self.catalogue.instance(hw or options.hw)
        self.layout = _layout(options)
        self._memory: dict[int, MemoryProfile] = {}

    @cached_property
    def model(self) -> "Model":
        """The model."""
        return read_model(self.options.model)

    def shape(self, samples: int) -> "BatchShape":
        """Return a micro-batch of so many samples."""
        from planner.architectures import BatchShape

        side = self.options.image
        shape = BatchShape(samples, self.options.seq, image_size=None if side is None else (side, side))
        return self.model.shape(shape)

    @cached_property
    def limits(self) -> "Shape":
        """What the architecture allows."""
        from planner.layout_shape import layout_shape

        return layout_shape(self.model, self.shape(1))

    def memory_profile(self, micro_batch: int) -> "MemoryProfile":
        """Return the memory of a micro-batch."""
        from planner.memory_profile import memory_profile

        if micro_batch not in self._memory:
            self._memory[micro_batch] = memory_profile(self.model, self.shape(micro_batch))
        return self._memory[micro_batch]

    def time_profile(self, micro_batch: int) -> "TimeProfile":
        """Return the work of a micro-batch."""
        from planner.time_profile import time_profile

        return time_profile(self.model, self.shape(micro_batch))

    def verdict(self) -> "Verdict":
        """Return whether the layout fits, after it was checked against the model."""
        from planner.layout import check_layout
        from planner.memory_verdict import verdict

        check_layout(self.layout, self.limits)
        return verdict(self.memory_profile, self.layout, self.instance.accelerator)

    @cached_property
    def constants(self) -> "Calibration":
        """The constants of time, the user's own before ours."""
        from planner.time_calibration import calibration_for, read_calibrations

        given = () if self.options.calibration is None else read_calibrations(self.options.calibration)
        return calibration_for(self.instance.accelerator.name, given)

    def step(self, layout: "Layout | None" = None) -> "StepTime":
        """Return the time of a step."""
        from planner.layout import check_layout
        from planner.time_step import estimate_step

        chosen = layout or self.layout
        check_layout(chosen, self.limits)
        return estimate_step(self.time_profile(chosen.micro_batch), chosen, self.instance, self.constants)

    def steps(self, tokens: str | None, steps: int | None) -> int | None:
        """Return the steps of a run that is given in tokens (samples, where there are none) or in steps."""
        from planner.quantities import read_count

        if tokens is None or steps is not None:
            if tokens is not None:
                raise CommandError("--tokens and --steps: give one of them")
            return steps
        per_step = self.layout.samples_per_step * (self.shape(1).tokens or 1)
        return max(1, round(read_count(tokens, "--tokens") / per_step))

    def facts(self) -> dict[str, object]:
        """Return what is planned, for people."""
        shape = self.shape(self.layout.micro_batch)
        text = "" if shape.tokens is None else f" of {shape.tokens} tokens"
        return {
            "model": f"{self.model.name}, {self.limits.layers} layers",
            "machines": f"{self.layout.devices} x {self.instance.accelerator.title} ({self.instance.name})",
            "layout": self.layout.described(),
            "step": f"{self.layout.samples_per_step} samples{text}",
        }


def _layout(options: SystemOptions) -> "Layout":
    from planner.layout import Layout

    inner = options.tp * options.pp * options.cp
    if options.gpus % inner:
        raise CommandError(f"--gpus {options.gpus}: must be a multiple of tp x pp x cp = {inner}")
    dp = options.gpus // inner
    each = dp * options.micro_batch
    if options.batch is not None and options.batch % each:
        raise CommandError(f"--batch {options.batch}: must be a multiple of replicas x micro-batch = {each}")
    names = ("tp", "pp", "cp", "ep", "interleave", "zero", "micro_batch", "recompute", "precision", "optimizer",
             "offload", "sequence_parallel")  # fmt: skip
    given = {name: getattr(options, name) for name in names}
    return Layout(dp=dp, accumulation=1 if options.batch is None else options.batch // each, **given)


def read_model(words: list[str]) -> "Model":
    """Return the model that the words name: one known or in a file, or that of a composed configuration."""
    from planner.architectures import load

    if not any("=" in word for word in words):
        if len(words) > 1:
            raise CommandError(f"{' '.join(words)}: name one model, or give recipe=... with overrides")
        return load(words[0])
    from dataclasses import asdict

    from configs.compose import compose

    spec = compose(words).spec
    of_data = {name: getattr(spec.data, name, None) for name in ("texts_per_image", "sequence_length")}
    section = {**asdict(spec.model), **of_data}
    if "target" in section:
        raise CommandError(f"model._target_ = {section['target']}: only models of our recipes are read")
    return load(section)


def today() -> date:
    """Return the day by which prices are old."""
    return datetime.now(UTC).date()


def dated_price(text: str, option: str) -> tuple[float, date]:
    """Return a price and its day from `20.5@2026-11-01`. Raises CommandError: there is no price without its day."""
    amount, _, day = text.partition("@")
    try:
        found = float(amount), date.fromisoformat(day)
    except ValueError:
        raise CommandError(f"{option} {text}: must be a price and its day, such as 20.5@2026-11-01") from None
    if found[1] > today():
        raise CommandError(f"{option} {text}: {day} is in the future: give the day on which the price was seen")
    return found


def picture_in(folder: Path, name: str) -> Path:
    """Return the file of a picture in the folder that --plot names, which is made. Raises CommandError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"--plot {folder}: must be a folder that can be written ({error.strerror})") from error
    return folder / f"{name}.png"


def show_pictures(pictures: list[Path], *, as_json: bool) -> None:
    """Say where the pictures lie, to people; programs have them in the JSON."""
    if not as_json:
        for path in pictures:
            say(f"picture: {path}")
