"""Which suites there are, and where each is defined. A suite's module is imported when the suite is asked for."""

from collections.abc import Sequence
from importlib import import_module

from planner.errors import UnknownNameError
from planner.verification.check import Check, Suite
from planner.verification.known_misses import with_known_misses

SUITES: dict[str, str] = {
    "chinchilla": "planner.verification.law_fits:chinchilla_suite",
    "chinchilla_tables": "planner.verification.flops_tables:chinchilla_suite",
    "data_constrained": "planner.verification.law_fits:data_constrained_suite",
    "forecasts": "planner.verification.forecast_splits:suite",
    "learning_curves": "planner.verification.law_tables:learning_curves_suite",
    "megatron": "planner.verification.system:megatron_throughput",
    "megatron_flops": "planner.verification.flops_tables:megatron_suite",
    "memory": "planner.verification.published_memory:formulas_suite",
    "mpt": "planner.verification.system:mpt_throughput",
    "olmo_ladder": "planner.verification.law_tables:olmo_ladder_suite",
    "openclip_exponents": "planner.verification.law_tables:openclip_suite",
    "openclip_profile": "planner.verification.openclip_profile:openclip_profile_suite",
    "openclip_scaling": "planner.verification.openclip_profile:openclip_scaling_suite",
    "published_flops": "planner.verification.flops_tables:published_suite",
    "step_law": "planner.verification.law_tables:step_law_suite",
    "torchtitan": "planner.verification.published_memory:torchtitan_suite",
}
"""The name of each suite and `module:function`."""


def suite_named(name: str) -> Suite:
    """Return a suite. Raises UnknownNameError with the names there are."""
    if name not in SUITES:
        raise UnknownNameError(f"suite {name!r}: must be one of {', '.join(SUITES)}")
    module, _, what = SUITES[name].partition(":")
    found: Suite = getattr(import_module(module), what)
    return found


def checks_of(name: str) -> Sequence[Check]:
    """Return the checks of a suite, known misses marked. Raises UnknownNameError and NoReferenceDataError."""
    return with_known_misses(name, suite_named(name)())
