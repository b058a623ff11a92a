"""How much longer than at full speed things take: constants that were measured, and where."""

import csv
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from planner.errors import BadInputError

Array = NDArray[np.float64]

TERMS = (
    "matmul", "attention", "softmax", "memory", "collectives", "reduction", "gathers", "launches", "stragglers",
)  # fmt: skip
"""What a step's time is made of; a constant belongs to each. All are multiples of the time at the hardware's speed, but
launches, which are seconds for each layer, pass and micro-batch; stragglers are a fraction of the products for every
doubling of the instances. A pipeline's bubble has no constant: it costs what the work costs that is waited for."""

PRIOR = np.array([1.3, 3.0, 60.0, 2.0, 1.3, 1.3, 1.2, 5e-4, 0.02])
"""What is assumed before anything is measured: round numbers between those of A100 and H100; collectives at three
quarters of their link; half of the 128 operations that an A100's tensor cores do in the time of an exponential."""
ERROR_ELSEWHERE = 0.25
"""What is assumed of constants on an accelerator on which nothing was measured. An assumption, stated as one."""
_STORED = Path(__file__).with_name("time_calibrations.csv")


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Constants of one kind of accelerator and software, and what is known about how good they are."""

    name: str
    accelerator: str
    constants: Array
    """[len(TERMS)]."""
    relative_error: float
    """Mean absolute relative error on measurements that were left out when it was fitted."""
    rows: int
    """How many measurements it was fitted to."""
    source: str

    def __post_init__(self) -> None:
        """Raise BadInputError for constants that are none."""
        if self.constants.shape != (len(TERMS),) or not np.all(np.isfinite(self.constants) & (self.constants >= 0.0)):
            raise BadInputError(f"calibration {self.name}: constants must be {len(TERMS)} numbers of at least 0")

    def described(self, accelerator: str) -> str:
        """Return where the constants are from, and whether they are those of `accelerator`."""
        own = "" if accelerator == self.accelerator else f"; nothing was measured on {accelerator}: indicative only"
        return f"{self.rows} measurements on {self.accelerator}, {self.source}; error {self.relative_error:.1%}{own}"

    def elsewhere(self) -> "Calibration":
        """Return the same constants for an accelerator on which nothing was measured."""
        return replace(self, relative_error=max(self.relative_error, ERROR_ELSEWHERE))


@cache
def known_calibrations() -> tuple[Calibration, ...]:
    """Return the constants that are kept beside this file: fitted to published measurements (scripts/fit_times.py)."""
    return read_calibrations(_STORED)


def read_calibrations(path: Path) -> tuple[Calibration, ...]:
    """Return calibrations from a CSV file with a column for each term. Raises BadInputError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(_calibration(row) for row in csv.DictReader(file))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise BadInputError(f"{path}: cannot be read as calibrations ({type(error).__name__}: {error})") from error


def write_calibrations(path: Path, calibrations: "tuple[Calibration, ...]") -> None:
    """Write what read_calibrations reads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "accelerator", *TERMS, "relative_error", "rows", "source"))
        for one in calibrations:
            constants = [f"{value:.6g}" for value in one.constants]
            writer.writerow((one.name, one.accelerator, *constants, f"{one.relative_error:.4f}", one.rows, one.source))


def calibration_for(accelerator: str, given: "tuple[Calibration, ...]" = ()) -> Calibration:
    """Return the constants of an accelerator, of `given` before the known ones; where there are none, those of H100."""
    candidates = (*given, *known_calibrations())
    for one in candidates:
        if one.accelerator == accelerator:
            return one
    return next(one for one in candidates if one.accelerator == "h100-80gb").elsewhere()


def _calibration(row: dict[str, str]) -> Calibration:
    constants = np.array([float(row[term]) for term in TERMS])
    return Calibration(
        row["name"], row["accelerator"], constants, float(row["relative_error"]), int(row["rows"]), row["source"]
    )
