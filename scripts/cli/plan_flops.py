"""`plan flops`: what one batch and a training of a model cost in FLOPs, by an explicit convention."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.cli.cli_errors import CommandError
from scripts.cli.output import JsonOption, OutputFormat, OutputOption, plural, print_facts, print_json, print_table
from scripts.cli.plan_options import read_model

if TYPE_CHECKING:
    from planner.flops import Counting, Flops

_MODEL = "name of a known model, a config.json or its folder, or recipe=... with overrides"


def flops(  # noqa: PLR0913 - the options of one command line
    model: Annotated[list[str], typer.Argument(metavar="MODEL...", help=_MODEL)],
    *,
    tokens: Annotated[str | None, typer.Option(help="tokens (or samples) of the training: 15T")] = None,
    budget: Annotated[str | None, typer.Option("--flops", help="budget: how many tokens it buys: 1e24")] = None,
    seq: Annotated[int | None, typer.Option(min=1, help="tokens of a text; left out: the model's own")] = None,
    source_seq: Annotated[int | None, typer.Option(min=1, help="tokens of a source text, of encoder-decoders")] = None,
    image: Annotated[int | None, typer.Option(min=1, help="side of pictures or latents in pixels")] = None,
    batch: Annotated[int, typer.Option(min=1, help="samples of one batch")] = 1,
    convention: Annotated[str, typer.Option(help="model, hardware or 6nd")] = "model",
    causal: Annotated[str, typer.Option(help="full or half: how causal attention is counted")] = "full",
    embeddings: Annotated[str, typer.Option(help="in or out")] = "in",
    recompute: Annotated[str, typer.Option(help="none, selective or full; of the hardware convention")] = "none",
    lora_rank: Annotated[int | None, typer.Option(help="train low-rank adapters of this rank only")] = None,
    lora_target: Annotated[list[str] | None, typer.Option(help="pattern of products that get an adapter")] = None,
    freeze: Annotated[list[str] | None, typer.Option(help="pattern of weights that are not trained")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="show where the FLOPs and the parameters lie")] = False,
    as_json: JsonOption = False,
    output: OutputOption = OutputFormat.TEXT,
) -> int:
    """Count the FLOPs of a model: of a batch, of a training, and what a budget buys."""
    from planner.architectures import BatchShape
    from planner.flops import flops_of, shares_of

    counting = _counting(convention, causal, embeddings, recompute)
    found = read_model(model).tuned(_tuning(lora_rank, lora_target, freeze))
    shape = BatchShape(batch, seq, source_seq, None if image is None else (image, image))
    counted = flops_of(found, shape, counting)
    training = _training(counted, tokens, budget)
    shares = shares_of(found, shape, counting) if explain else []
    if as_json or output is OutputFormat.JSON:
        rows = [{name: getattr(share, name) for name in share.__slots__} for share in shares]
        print_json({**counted.to_json(), **training, **({"shares": rows} if explain else {})})
        return 0
    _print(counted, training)
    if explain:
        whole = counted.forward + counted.backward or 1
        columns = ("block", "repeats", "kind", "forward", "backward", "share %", "parameters")
        print_table(
            columns,
            [
                (
                    share.block, share.repeat, share.kind, f"{share.forward:.4g}", f"{share.backward:.4g}",
                    f"{100 * (share.forward + share.backward) / whole:.2f}", share.parameters,
                )
                for share in shares
            ],
        )  # fmt: skip
    return 0


def _counting(convention: str, causal: str, embeddings: str, recompute: str) -> "Counting":
    from planner.flops import Causal, Convention, Counting, Embeddings
    from planner.layout import Recompute

    chosen: dict[str, Any] = {}
    for option, kinds, text in (
        ("convention", Convention, convention), ("causal", Causal, causal), ("embeddings", Embeddings, embeddings),
        ("recompute", Recompute, recompute),
    ):  # fmt: skip
        try:
            chosen[option] = kinds(text)
        except ValueError:
            raise CommandError(f"--{option} {text}: must be one of {', '.join(kinds)}") from None
    return Counting(**chosen)


def _tuning(rank: int | None, targets: list[str] | None, frozen: list[str] | None) -> Any:
    from planner.architectures import Lora, Tuning
    from planner.architectures.tuning import LORA_TARGETS

    if rank is None and targets:
        raise CommandError("--lora-target without --lora-rank: give the rank too")
    lora = None if rank is None else Lora(rank, tuple(targets or LORA_TARGETS))
    return Tuning(tuple(frozen or ()), lora)


def _training(counted: "Flops", tokens: str | None, budget: str | None) -> dict[str, Any]:
    from planner.quantities import read_count

    found: dict[str, Any] = {}
    if tokens is not None:
        units = read_count(tokens, "--tokens")
        found["training"] = {f"{counted.unit}s": units, "flops": counted.of_units(units)}
    if budget is not None:
        flops = read_count(budget, "--flops")
        units = counted.units_of(flops)
        if units < 1:
            each = f"{float(counted.per_unit):.4g} FLOPs"
            raise CommandError(f"--flops {budget}: one {counted.unit} takes {each}: give more")
        found["budget"] = {"flops": flops, f"{counted.unit}s": units}
    return found


def _print(counted: "Flops", training: dict[str, Any]) -> None:
    from planner.quantities import show_count

    shape = counted.shape
    text = "" if shape.tokens is None else f" of {plural(shape.tokens, 'token')}"
    text += "" if shape.source_tokens is None else f" from {shape.source_tokens}"
    text += "" if shape.image_size is None else f", {shape.image_size[0]} x {shape.image_size[1]} pixels"
    facts: dict[str, object] = {
        "model": counted.model,
        "convention": counted.counting.text(),
        "parameters": f"{counted.parameters:,} ({show_count(counted.parameters)})",
        "not embeddings": f"{counted.non_embedding_parameters:,}",
    }
    if counted.active_parameters != counted.parameters:
        facts["used by a token"] = f"{counted.active_parameters:,} ({show_count(counted.active_parameters)})"
    if counted.trainable_parameters != counted.parameters:
        facts["trained"] = f"{counted.trainable_parameters:,} ({show_count(counted.trainable_parameters)})"
    facts |= {
        "batch": f"{plural(shape.samples, 'sample')}{text}",
        "forward": f"{counted.forward:,}",
        "backward": f"{counted.backward:,}",
    }
    if counted.recomputed:
        facts["computed again"] = f"{counted.recomputed:,}"
    facts["step"] = f"{counted.total:,}"
    facts[f"per {counted.unit}"] = f"{float(counted.per_unit):.6g}"
    if "training" in training:
        facts["training"] = f"{training['training']['flops']:.4e} FLOPs for {_units(counted, training['training'])}"
    if "budget" in training:
        facts["budget"] = f"{training['budget']['flops']:.4g} FLOPs train on {_units(counted, training['budget'])}"
    print_facts(facts)


def _units(counted: "Flops", found: dict[str, Any]) -> str:
    from planner.quantities import show_count

    return f"{show_count(found[f'{counted.unit}s'])} {counted.unit}s"
