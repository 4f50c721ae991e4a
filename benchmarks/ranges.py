"""The range of a space in MACs to the last exit: python benchmarks/ranges.py "mobilenetv3 halvings=5" ..."""

from __future__ import annotations

import sys

import numpy as np
from nni_earlyexit import search_spaces
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.tables import aligned

SAMPLES = 2000


def main() -> None:
    """Print the cheapest and the dearest network of each space, and the middle 98 of 100 random ones."""
    rows = []
    for name in sys.argv[1:]:
        space, rng = search_spaces.create(name), np.random.default_rng(0)
        costs = [space.exit_costs(space.sample(rng))[-1] for _ in range(SAMPLES)]
        (_, least), (_, most) = (space.extreme(space.exit_costs, exit=-1, most=most) for most in (False, True))
        low, high = np.quantile(costs, [0.01, 0.99])
        rows.append([name, *(format_macs(macs) for macs in (least, low, high, most))])
    print(aligned(["space", "cheapest", "1 of 100 below", "1 of 100 above", "dearest"], rows))


if __name__ == "__main__":
    main()
