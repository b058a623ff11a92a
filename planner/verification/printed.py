"""Numbers as a source prints them: ours is met where it rounds to the same digits."""

from decimal import Decimal

from planner.verification.check import Check

_ON_THE_EDGE = Decimal("1.000001")
"""Of half a unit of the last digit: a source that rounded a float may have gone either way at the edge."""


def printed(name: str, text: str, found: float, source: str, *, slack: float = 0.0) -> Check:
    """Return the check of `found` against a number that a source prints, with as many digits as it prints.

    Args:
        name: what it is.
        text: the number as printed: `17.58`, `3.8e25`.
        found: ours.
        source: where it is printed.
        slack: relative; where ours starts from other printed numbers, what their rounding leaves open.
    """
    expected = Decimal(text)
    exponent = expected.as_tuple().exponent
    assert isinstance(exponent, int)
    half = Decimal(5).scaleb(exponent - 1) * _ON_THE_EDGE + abs(expected) * Decimal(repr(slack))
    is_met = abs(Decimal(repr(found)) - expected) <= half
    tolerance = "digits printed there" if slack else "printed digits"
    return Check(name, float(expected), found, is_met, tolerance, source)
