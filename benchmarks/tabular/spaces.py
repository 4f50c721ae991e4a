"""The sub-spaces that are tabulated: some choices of a ready-made space, every combination of which was trained.

Labels that are not named keep their first value.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nni_earlyexit.search.domain import Sample, key


@dataclass(frozen=True)
class SubSpace:
    """Part of a search space, with the training that its networks get.

    Attributes
    ----------
    space
        Name and arguments of the whole space.
    choices
        Values that some of its labels can take here.
    training
        Arguments of :class:`nni_earlyexit.EarlyExitEvaluator`.
    repeated
        So many networks are trained with two more seeds, so that the noise is known.
    """

    space: str
    choices: Mapping[str, list[Any]]
    training: Mapping[str, Any] = field(default_factory=dict)
    repeated: int = 0

    def canonical(self) -> Callable[[Mapping[str, Any]], Sample]:
        """What turns a sample of the choices into one of the whole space, in canonical form."""
        from nni_earlyexit import search_spaces

        space = search_spaces.create(self.space)
        fixed = {label: values[0] for label, values in space.choices.items()}
        return lambda sample: space.canonical({**fixed, **sample})

    def networks(self) -> list[Sample]:
        """Every distinct network, as a sample of the whole space in canonical form."""
        canonical, found = self.canonical(), {}
        for values in itertools.product(*self.choices.values()):
            sample = canonical(dict(zip(self.choices, values, strict=True)))
            found[key(sample)] = sample
        return list(found.values())


EXITS = ["no", "yes"]

TABLES = {
    # 8x8 grey digits, scikit-learn's
    "digits": SubSpace(
        space="digits",
        choices={
            "stage0_block0": ["ds_k3", "mb_k3_e2", "mb_k5_e4"],
            "stage1_depth": [1, 2],
            "stage1_block0": ["ds_k3", "mb_k3_e4"],
            "stage2_block0": ["ds_k3", "mb_k5_e2"],
            "stage3_block0": ["ds_k3", "mb_k3_e4"],
            "exit0_present": EXITS,
            "exit0_depth": [0, 1],
            "exit0_layer0": ["ds_k3", "mb_k5_e2"],
            "exit1_present": EXITS,
            "exit1_depth": [0, 1],
            "exit1_layer0": ["ds_k3", "mb_k3_e2_se"],
            "exit2_present": EXITS,
            "exit2_depth": [0, 1],
        },
        training={"data": "digits", "epochs": 3, "batch_size": 64, "threads": 1},
        repeated=100,
    ),
    # for checking only: another space, other data, nothing is tuned on it
    "cifar10_8x8": SubSpace(
        space="resnet channels=8 resolution=8",
        choices={
            "stage0_block0": ["basic_w50", "bottleneck_w200"],
            "stage1_depth": [1, 2],
            "stage1_block0": ["basic_w100", "bottleneck_w100"],
            "stage2_depth": [1, 2],
            "stage3_block0": ["basic_w50", "basic_w100"],
            "exit0_present": EXITS,
            "exit0_depth": [0, 1],
            "exit0_layer0": ["mb_k3_e2"],
            "exit1_present": EXITS,
            "exit1_depth": [0, 1],
            "exit1_layer0": ["mb_k3_e2_se"],
            "exit2_present": EXITS,
        },
        training={"epochs": 5, "batch_size": 128, "threads": 1},
        repeated=50,
    ),
}
