"""All laws of the loss by name, as the command line knows them."""

from planner.errors import UnknownNameError
from planner.laws.data_constrained import DATA_CONSTRAINED
from planner.laws.kaplan import KAPLAN
from planner.laws.law import Law
from planner.laws.learning_curve import LEARNING_CURVE
from planner.laws.loss_laws import (
    ERROR,
    FINE_TUNING,
    FINE_TUNING_BY_DATA,
    HOFFMANN,
    MIXTURE,
    OVER_TRAINING,
    TIED,
    WIDTH_DEPTH,
)

_ALL: tuple[Law, ...] = (
    HOFFMANN,
    TIED,
    OVER_TRAINING,
    KAPLAN,
    DATA_CONSTRAINED,
    WIDTH_DEPTH,
    MIXTURE,
    FINE_TUNING,
    FINE_TUNING_BY_DATA,
    LEARNING_CURVE,
    ERROR,
)
LAWS: dict[str, Law] = {law.name: law for law in _ALL}
"""Approaches 1 and 2 are no laws of the loss: approach_1 and approach_2 give their frontier."""


def law_named(name: str) -> Law:
    """Return a law. Raises UnknownNameError with the names there are."""
    if name not in LAWS:
        raise UnknownNameError(f"law {name!r}: must be one of {', '.join(LAWS)}")
    return LAWS[name]
