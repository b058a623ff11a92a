"""Modules that decide import nothing that acts, directly or through others: no torch, no Ray, no store, no clock."""

import grimp
import pytest
from fixtures_sources import PACKAGES

DECISIONS = (
    "trainer.auto_resume", "trainer.states", "trainer.schedule", "trainer.batching", "checkpoint.manifest",
    "checkpoint.retention", "batch.scheduler.decision", "batch.scheduler.explanation", "batch.states",
)  # fmt: skip
ACTORS = ("torch", "ray", "deepspeed", "obstore", "fsspec", "time")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        *PACKAGES, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


@pytest.mark.parametrize("module", DECISIONS)
def test_a_decision_reaches_no_actor(graph: grimp.ImportGraph, module: str) -> None:
    if module not in graph.modules:
        pytest.skip(f"{module} does not exist")
    chains = [
        " -> ".join(chain)
        for actor in ACTORS
        if actor in graph.modules and (chain := graph.find_shortest_chain(importer=module, imported=actor)) is not None
    ]
    assert chains == []
