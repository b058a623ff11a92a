"""Which suites there are, and where each is defined. A suite's module is imported when the suite is asked for."""

from importlib import import_module

from planner.errors import UnknownNameError
from planner.verification.check import Suite

SUITES: dict[str, str] = {
    "chinchilla_a4": "planner.verification.flops_tables:chinchilla_a4_suite",
    "forecasts": "planner.verification.forecast_splits:suite",
    "megatron_flops": "planner.verification.flops_tables:megatron_suite",
    "openclip_profile": "planner.verification.openclip_profile:openclip_profile_suite",
    "openclip_scaling": "planner.verification.openclip_profile:openclip_scaling_suite",
    "published_flops": "planner.verification.flops_tables:published_suite",
}
"""The name of each suite and `module:function`."""


def suite_named(name: str) -> Suite:
    """Return a suite. Raises UnknownNameError with the names there are."""
    if name not in SUITES:
        raise UnknownNameError(f"suite {name!r}: must be one of {', '.join(SUITES)}")
    module, _, what = SUITES[name].partition(":")
    found: Suite = getattr(import_module(module), what)
    return found
