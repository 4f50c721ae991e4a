from __future__ import annotations

from itertools import product

import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.nn.mutables import EXIT_HEADS, EXIT_LAYERS
from nni_earlyexit.search_spaces.digits import BLOCKS

STAGE = sum(len(BLOCKS) ** depth for depth in (1, 2, 3))
BRANCH = sum(len(EXIT_LAYERS) ** depth for depth in (0, 1, 2, 3)) * len(EXIT_HEADS)


def test_size_counts_every_distinct_network():
    assert search_spaces.create("digits").size() == STAGE**4 * (1 + BRANCH) ** 3


@pytest.mark.parametrize(
    ("rules", "branches"),
    [
        ({"max_exits": 0}, 1),
        ({"max_exits": 1}, 1 + 3 * BRANCH),
        ({"max_exits": 2}, 1 + 3 * BRANCH + 3 * BRANCH**2),
        ({"first_exit": 2}, 1 + BRANCH),
        ({"banned_exits": (0, 1)}, 1 + BRANCH),
        ({"fixed_exits": (1,)}, BRANCH * (1 + BRANCH) ** 2),
        ({"fixed_exits": (1,), "max_exits": 2}, BRANCH * (1 + 2 * BRANCH)),
    ],
)
def test_size_counts_only_the_exits_that_are_allowed(rules, branches):
    assert search_spaces.create("digits", **rules).size() == STAGE**4 * branches


def test_size_equals_counting_canonical_samples(digits_space):
    # everything fixed but the first exit, with at most one layer of two kinds
    base = {label: values[0] for label, values in digits_space.choices.items()}
    values = {
        "exit0_present": ["yes", "no"],
        "exit0_depth": [0, 1, 2],
        "exit0_layer0": list(EXIT_LAYERS),
        "exit0_layer1": list(EXIT_LAYERS),
        "exit0_head": list(EXIT_HEADS),
    }
    found = {
        tuple(digits_space.canonical({**base, **dict(zip(values, chosen, strict=True))}).values())
        for chosen in product(*values.values())
    }
    assert len(found) == 1 + (1 + 6 + 36) * 2
