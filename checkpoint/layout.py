"""Where everything lies below a run's root in the store. Pure.

```
data/<step>/<fence>/r<rank>-<number>-<nonce>.safetensors    tensor data, immutable, each name used once
parts/<step>/<fence>/r<rank>-of-<world>.json                what one rank saved, created once
commit/<inverted step>-<step>.json                          the checkpoint exists; newest sorts first
bad/<name of the commit>                                    that commit was found damaged
fence/<number>.json                                         a generation of workers that claimed the run
decision/<fence>-<generation>.json                          with several nodes: the step that rank 0 decided to save
owner.json                                                  the configuration of the run whose checkpoints these are
```

A commit whose checkpoint is damaged stays where it is, with a marker under `bad/`; the step may then be
committed once more under `commit/<inverted step>-<step>-<replacement>.json`.
"""

import re

DATA = "data/"
PARTS = "parts/"
COMMITS = "commit/"
BAD = "bad/"
FENCES = "fence/"
DECISIONS = "decision/"

OWNER = "owner.json"

MAX_STEP = 10**12 - 1
_COMMIT = re.compile(r"commit/(\d{12})-(\d{12})(?:-(\d{3}))?\.json")
_DATA = re.compile(r"data/(\d{12})/(\d{8})/[^/]+\.safetensors")
_PART = re.compile(r"parts/(\d{12})/(\d{8})/r(\d{6})-of-(\d{6})\.json")
_FENCE = re.compile(r"fence/(\d{8})\.json")


def data_prefix(step: int, fence: int) -> str:
    """Return the folder of the segments that `fence` wrote for `step`."""
    return f"{DATA}{step:012d}/{fence:08d}/"


def segment_key(step: int, fence: int, rank: int, number: int, nonce: str) -> str:
    """Return the key of one segment; `nonce` makes it unlike every other try's."""
    return f"{data_prefix(step, fence)}r{rank:06d}-{number:04d}-{nonce}.safetensors"


def data_origin(key: str) -> tuple[int, int] | None:
    """Return (step, fence) of the save that wrote the segment `key`, or None when it is no segment's."""
    match = _DATA.fullmatch(key)
    return (int(match[1]), int(match[2])) if match else None


def parts_prefix(step: int, fence: int) -> str:
    """Return the folder of the rank manifests of `step` under `fence`."""
    return f"{PARTS}{step:012d}/{fence:08d}/"


def part_key(step: int, fence: int, rank: int, world_size: int) -> str:
    """Return the key of one rank's manifest."""
    return f"{parts_prefix(step, fence)}r{rank:06d}-of-{world_size:06d}.json"


def part_rank(key: str) -> tuple[int, int] | None:
    """Return (rank, world size) of a rank manifest's key, or None."""
    match = _PART.fullmatch(key)
    return (int(match[3]), int(match[4])) if match else None


def commit_key(step: int, replacement: int = 0) -> str:
    """Return the key of the commit of `step`; `replacement` counts its damaged commits before."""
    if not 0 <= step <= MAX_STEP:
        raise ValueError(f"step {step}: must be between 0 and {MAX_STEP}")
    suffix = f"-{replacement:03d}" if replacement else ""
    return f"{COMMITS}{MAX_STEP - step:012d}-{step:012d}{suffix}.json"


def parse_commit_key(key: str) -> tuple[int, int] | None:
    """Return (step, replacement) of a commit's key, or None when the object is something else."""
    match = _COMMIT.fullmatch(key)
    if match is None or int(match[1]) + int(match[2]) != MAX_STEP:
        return None
    return int(match[2]), int(match[3] or 0)


def bad_key(commit: str) -> str:
    """Return the key of the marker that the commit under key `commit` is damaged."""
    return BAD + commit.removeprefix(COMMITS)


def fence_key(fence: int) -> str:
    """Return the key of a claimed fence."""
    return f"{FENCES}{fence:08d}.json"


def parse_fence_key(key: str) -> int | None:
    """Return the number of a fence's key, or None."""
    match = _FENCE.fullmatch(key)
    return int(match[1]) if match else None


def decision_key(fence: int, generation: int) -> str:
    """Return the key under which rank 0 tells the keepers of other nodes which step is saved. Replaced, not created."""
    return f"{DECISIONS}{fence:08d}-{generation:08d}.json"
