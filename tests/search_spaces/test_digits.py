from __future__ import annotations

from itertools import product

from nni_earlyexit import search_spaces
from nni_earlyexit.search_spaces.digits import BLOCKS, EXIT_LAYERS


def test_size_counts_every_distinct_network():
    stage = sum(len(BLOCKS) ** depth for depth in (1, 2, 3))
    exit = 1 + sum(len(EXIT_LAYERS) ** depth for depth in (0, 1, 2))
    assert search_spaces.create("digits").size() == stage**4 * exit**3


def test_size_equals_counting_canonical_samples(digits_space):
    # everything fixed but the first exit
    base = {label: values[0] for label, values in digits_space.choices.items()}
    labels = ["exit0_present", "exit0_depth", "exit0_layer0", "exit0_layer1"]
    found = {
        tuple(digits_space.canonical({**base, **dict(zip(labels, values, strict=True))}).values())
        for values in product(*(digits_space.choices[label] for label in labels))
    }
    assert len(found) == 14
