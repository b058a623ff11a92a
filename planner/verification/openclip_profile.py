"""open_clip's tables of FLOPs and parameters, counted again from its model configurations.

model_profile.csv prints FLOPs (two for each multiplication and addition) of one picture with one text, and LAION's
arch_info.csv what fvcore counts (profilers.py): MACs and norms.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence

from planner.architectures.openclip import read_openclip, text_tower, vision_tower
from planner.architectures.operations import BatchShape, Block
from planner.architectures.settings import Settings
from planner.architectures.tape import Tape
from planner.verification.check import Check, reference_file
from planner.verification.openclip_models import MODELS
from planner.verification.printed import printed
from planner.verification.profilers import fvcore_macs

_PROFILE = "mlfoundations/open_clip docs/model_profile.csv @89fb801"
_SCALING = "LAION-AI/scaling-laws-openclip arch_info.csv @652b1e7"


def openclip_profile_suite() -> Sequence[Check]:
    """Compare GFLOPs and millions of parameters of 85 models: of both towers, and of the whole."""
    return [check for row in _rows("model_profile.csv") for check in _checks(row, "gflops", _PROFILE)]


def openclip_scaling_suite() -> Sequence[Check]:
    """Compare GMACs and millions of parameters of the models of LAION's scaling study."""
    return [check for row in _rows("arch_info.csv") for check in _checks(row, "gmacs", _SCALING)]


def _rows(file: str) -> list[dict[str, str]]:
    with reference_file("scaling", "openclip", file).open(newline="", encoding="utf-8") as rows:
        return list(csv.DictReader(rows))


def _checks(row: Mapping[str, str], column: str, source: str) -> Iterator[Check]:
    settings = _settings(row)
    counted = _counted(settings)
    for part, blocks in counted.items():
        flops = _gmacs(settings, counted, part) if column == "gmacs" else _sum(blocks, "forward_flops") / 1e9
        yield printed(f"{row['model']} {part}{column}", row[f"{part}{column}"], flops, source)
        parameters = _sum(blocks, "parameters") / 1e6
        yield printed(f"{row['model']} {part}mparams", row[f"{part}mparams"], parameters, source)


def _gmacs(settings: Settings, counted: Mapping[str, Sequence[Block]], part: str) -> float:
    is_resnet = _is_resnet(settings)
    if part:
        return fvcore_macs(counted[part], has_batch_norm=is_resnet and part == "image_") / 1e9
    return _gmacs(settings, counted, "image_") + _gmacs(settings, counted, "text_")


def _is_resnet(settings: Settings) -> bool:
    return isinstance(settings.part("vision_cfg").values.get("layers"), list)


def _settings(row: Mapping[str, str]) -> Settings:
    """Return the configuration of a row: LAION has pictures of 336 by a suffix, and calls bigG G."""
    name = row["model"].removesuffix("-336").replace("ViT-G-", "ViT-bigG-")
    config = MODELS[row["model"] if row["model"] in MODELS else name]
    vision = {**config["vision_cfg"], "image_size": int(row["image_size"])}
    return Settings({**config, "vision_cfg": vision}, row["model"])


def _counted(settings: Settings) -> dict[str, tuple[Block, ...]]:
    """Return the blocks of the whole and of both towers for one pair, by the prefix of the table's columns."""
    vision, text, dim = settings.part("vision_cfg"), settings.part("text_cfg"), settings.integer("embed_dim")
    model = read_openclip(settings)
    shape = model.shape(BatchShape())
    image_tape, text_tape = Tape(), Tape()
    vision_tower(image_tape, shape, vision, dim)
    text_tower(text_tape, shape, text, dim)
    return {"": model.blocks(shape), "image_": image_tape.blocks(), "text_": text_tape.blocks()}


def _sum(blocks: Sequence[Block], name: str) -> int:
    return sum(block.repeat * getattr(operation, name) for block in blocks for operation in block.operations)
