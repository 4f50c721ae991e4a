"""The recipe of a training, as settings: checked plain data, without torch."""

from __future__ import annotations

from dataclasses import dataclass

from nni_earlyexit.utils.checks import list_of, number, optional, positive, whole_number
from nni_earlyexit.utils.options import check_options, option

MAX_THREADS = 1024
"""Most threads, far more than any machine makes use of; torch tries to start as many as it is told."""


@dataclass(frozen=True)
class Recipe:
    """Recipe of a training; ``ValueError`` for values that cannot work."""

    epochs: int = option(12, "passes over the training split", whole_number(1))
    batch_size: int = option(64, "inputs per step", whole_number(2))
    learning_rate: float = option(0.01, "peak of the learning rate cycle", positive(parse=float))
    exit_weights: tuple[float, ...] | None = option(
        None,
        "weight in the loss of the exit after each stage of the space, the last one included; all equal by default",
        optional(list_of(number(0), "numbers from 0")),
        many=True,
    )
    seed: int = option(0, "fixes initial weights, order of batches and the splits", whole_number(0, 2**32 - 1))
    threads: int | None = option(
        None,
        "CPU threads of a trial; torch's default is all cores, which is slower for small networks run side by side",
        optional(whole_number(1, MAX_THREADS)),
    )

    def __post_init__(self) -> None:
        check_options(self)
