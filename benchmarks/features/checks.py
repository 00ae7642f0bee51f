"""What checking one stored value costs, against asking whether a float is finite."""

from __future__ import annotations

from math import isfinite
from statistics import median
from timeit import repeat

from trimtab.features.values import PlannedFeature
from trimtab.types import FeatureKind

CALLS = 100_000
ROUNDS = 9
NUMBER = PlannedFeature(index=0, name="a", kind=FeatureKind.NUMERIC, minimum=0.0, maximum=10.0)
INTEGER = PlannedFeature(index=0, name="a", kind=FeatureKind.INTEGER, minimum=0.0, maximum=10.0)
TEXT = PlannedFeature(
    index=0, name="a", kind=FeatureKind.CATEGORICAL, allowed=frozenset({"a", "b"})
)
CASES = {
    "floor: isfinite": lambda: isfinite(3.0),
    "a number in its range": lambda: NUMBER.conform(3.0),
    "an integer in its range": lambda: INTEGER.conform(3),
    "one of the allowed texts": lambda: TEXT.conform("a"),
}


def main() -> None:
    floor = 0.0
    for name, call in CASES.items():
        nanoseconds = median(repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e9
        floor = floor or nanoseconds
        print(f"  {name:26} {nanoseconds:6.0f} ns  {nanoseconds / floor:5.1f} × the floor")


if __name__ == "__main__":
    main()
