"""Durable state of a run: snapshots in shared memory, segments and commits in a store.

Knows neither Ray nor the queue.

Names are imported when they are first used, so that a keeper process and the command line start without
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from checkpoint.adapters import adapter_for
    from checkpoint.checkpointer import Checkpointer
    from checkpoint.commits import CommitInfo, list_commits, load_commit, quarantine, usable_commits
    from checkpoint.config import CheckpointConfig
    from checkpoint.errors import (
        AdapterError,
        ArenaError,
        CheckpointError,
        DamagedError,
        FencedError,
        FormatError,
        IncompleteError,
        KeeperError,
        ObjectMissing,
        StoreDenied,
        StoreError,
        StoreFull,
        StoreUnavailable,
    )
    from checkpoint.export import export_safetensors
    from checkpoint.fence import claim_fence
    from checkpoint.keeper_protocol import SaveReport
    from checkpoint.reader import CommitSource
    from checkpoint.restore import Candidate, Restored
    from checkpoint.state import Slice, StateAdapter
    from checkpoint.store import Store
    from checkpoint.stores import open_store, probe_conditional_put
    from checkpoint.verify import VerifyReport, verify_commit

__all__ = [
    "AdapterError",
    "ArenaError",
    "Candidate",
    "CheckpointConfig",
    "CheckpointError",
    "Checkpointer",
    "CommitInfo",
    "CommitSource",
    "DamagedError",
    "FencedError",
    "FormatError",
    "IncompleteError",
    "KeeperError",
    "ObjectMissing",
    "Restored",
    "SaveReport",
    "Slice",
    "StateAdapter",
    "Store",
    "StoreDenied",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "VerifyReport",
    "adapter_for",
    "claim_fence",
    "export_safetensors",
    "list_commits",
    "load_commit",
    "open_store",
    "probe_conditional_put",
    "quarantine",
    "usable_commits",
    "verify_commit",
]

_HOMES = {
    "adapters": ("adapter_for",),
    "checkpointer": ("Checkpointer",),
    "commits": ("CommitInfo", "list_commits", "load_commit", "quarantine", "usable_commits"),
    "config": ("CheckpointConfig",),
    "errors": (
        "AdapterError",
        "ArenaError",
        "CheckpointError",
        "DamagedError",
        "FencedError",
        "FormatError",
        "IncompleteError",
        "KeeperError",
        "ObjectMissing",
        "StoreDenied",
        "StoreError",
        "StoreFull",
        "StoreUnavailable",
    ),
    "export": ("export_safetensors",),
    "fence": ("claim_fence",),
    "keeper_protocol": ("SaveReport",),
    "reader": ("CommitSource",),
    "restore": ("Candidate", "Restored"),
    "state": ("Slice", "StateAdapter"),
    "store": ("Store",),
    "stores": ("open_store", "probe_conditional_put"),
    "verify": ("VerifyReport", "verify_commit"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
