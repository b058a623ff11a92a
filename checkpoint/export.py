"""Writing a checkpoint's weights as plain safetensors files in the form that Hugging Face tools read."""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from checkpoint.commits import CommitInfo, CommitView
from checkpoint.errors import CheckpointError, StoreError, StoreFull
from checkpoint.read_plan import SavedTensor, Wanted
from checkpoint.reader import CommitSource
from checkpoint.segment import HEADER_ALIGNMENT, aligned
from checkpoint.state import BUFFER, FROZEN, MASTER
from checkpoint.store import Store

_EXPORTED_KINDS = (MASTER, FROZEN, BUFFER)
_NO_SPACE = "no space left while exporting"


@dataclass(frozen=True, slots=True)
class _Shard:
    """One output file: its header, and where each tensor's bytes begin in the file."""

    name: str
    header: bytes
    offsets: Mapping[str, int]
    tensors: tuple[SavedTensor, ...]
    size_bytes: int


def export_safetensors(
    store: Store,
    commit: CommitInfo | CommitView,
    out_folder: str | Path,
    *,
    resolved_config: Mapping[str, object] | str,
    max_shard_bytes: int = 5 * 10**9,
) -> Path:
    """Write fp32 masters, frozen weights and buffers under their module names, in their global shapes.

    Writes `model.safetensors` (or numbered shards and `model.safetensors.index.json`), `config.json` with the
    origin, and `resolved_config.yaml`: text as it is, a mapping as JSON, which is YAML too. Every byte is
    checked on the way; memory stays below about 512 MiB. The folder appears under its name when it is
    complete. Returns it.

    Raises CheckpointError when the folder exists or a name is saved twice, DamagedError, StoreFull,
    StoreError.
    """
    target = Path(out_folder).expanduser().absolute()
    if target.exists():
        raise CheckpointError(f"{target}: exists already; export never overwrites, choose another folder")
    source = CommitSource(store, commit)
    shards = _plan(source, max_shard_bytes)
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        unfinished.mkdir(parents=True)
        for shard in shards:
            _write_shard(source, shard, unfinished / shard.name)
        for name, text in _texts(source, store, shards, resolved_config).items():
            _write_text(unfinished / name, text)
        unfinished.rename(target)
    except OSError as error:
        kind = StoreFull if error.errno in {28, 122} else StoreError
        raise kind(f"{target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _plan(source: CommitSource, max_shard_bytes: int) -> list[_Shard]:
    tensors: dict[str, SavedTensor] = {}
    for tensor in source.tensors().values():
        if tensor.kind not in _EXPORTED_KINDS:
            continue
        if tensor.name in tensors:
            raise CheckpointError(
                f"{tensor.name}: saved as {tensors[tensor.name].kind} and as {tensor.kind}; cannot export"
            )
        tensors[tensor.name] = tensor
    groups = list(_groups(sorted(tensors.values(), key=lambda tensor: tensor.name), max_shard_bytes))
    if len(groups) == 1:
        return [_lay_out("model.safetensors", groups[0])]
    return [
        _lay_out(f"model-{number:05d}-of-{len(groups):05d}.safetensors", group)
        for number, group in enumerate(groups, start=1)
    ]


def _groups(tensors: Sequence[SavedTensor], max_shard_bytes: int) -> Iterable[list[SavedTensor]]:
    gathered: list[SavedTensor] = []
    size = 0
    for tensor in tensors:
        if gathered and size + tensor.size_bytes > max_shard_bytes:
            yield gathered
            gathered, size = [], 0
        gathered.append(tensor)
        size += tensor.size_bytes
    yield gathered


def _lay_out(name: str, tensors: list[SavedTensor]) -> _Shard:
    """Widest types first: so every tensor is aligned to its type without holes, which are forbidden."""
    ordered = sorted(tensors, key=lambda tensor: (-_item_bytes(tensor), tensor.name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    positions, position = {}, 0
    for tensor in ordered:
        positions[tensor.name] = position
        end = position + tensor.size_bytes
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    header_bytes = aligned(8 + len(text), HEADER_ALIGNMENT)
    return _Shard(
        name=name,
        header=(header_bytes - 8).to_bytes(8, "little") + text.ljust(header_bytes - 8),
        offsets={tensor: header_bytes + offset for tensor, offset in positions.items()},
        tensors=tuple(ordered),
        size_bytes=header_bytes + position,
    )


def _write_shard(source: CommitSource, shard: _Shard, path: Path) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        os.truncate(descriptor, shard.size_bytes)
        _write_at(descriptor, memoryview(shard.header), 0)
        source.read(_wanted(descriptor, tensor, shard.offsets[tensor.name]) for tensor in shard.tensors)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _wanted(descriptor: int, tensor: SavedTensor, begin: int) -> Wanted:
    return Wanted(
        tensor.name,
        tensor.kind,
        0,
        tensor.num_elements,
        lambda offset, part: _write_at(descriptor, part, begin + offset),
    )


def _write_at(descriptor: int, data: memoryview, position: int) -> None:
    written = 0
    while written < data.nbytes:
        written += os.pwrite(descriptor, data[written:], position + written)


def _write_text(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _texts(
    source: CommitSource, store: Store, shards: Sequence[_Shard], resolved_config: Mapping[str, object] | str
) -> dict[str, str]:
    commit = source.view.commit
    origin = {
        "store": store.url,
        "commit": source.view.info.key,
        "step": commit.step,
        "saved_s": commit.time_s,
    }
    texts = {
        "config.json": json.dumps({"ostinato": origin}, indent=2) + "\n",
        "resolved_config.yaml": resolved_config
        if isinstance(resolved_config, str)
        else json.dumps(resolved_config, indent=2, ensure_ascii=False) + "\n",
    }
    if len(shards) > 1:
        total = sum(tensor.size_bytes for shard in shards for tensor in shard.tensors)
        index = {
            "metadata": {"total_size": total},
            "weight_map": {tensor.name: shard.name for shard in shards for tensor in shard.tensors},
        }
        texts["model.safetensors.index.json"] = json.dumps(index, indent=2) + "\n"
    return texts


def _item_bytes(tensor: SavedTensor) -> int:
    return tensor.size_bytes // tensor.num_elements if tensor.num_elements else 1
