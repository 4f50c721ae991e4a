"""Costs of leaving at each exit of a network: plain data, first exit first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class ExitSeconds(NamedTuple):
    """Predicted seconds of one input: until each present exit, every exit branch on the way included, and of each branch."""

    until: Sequence[float]
    branches: Sequence[float]


@dataclass(frozen=True)
class ExitCosts:
    """Costs of one input at each present exit.

    Attributes
    ----------
    macs
        Multiply-accumulates spent until there, every exit branch on the way included.
    params
        Parameters of everything that has run by then.
    activation_bytes
        The most bytes of tensors alive at once until there, the input not counted (float32).
    latency_s
        Predicted seconds until there, every exit branch on the way included.
    branch_macs
        Multiply-accumulates of each exit branch alone: what dropping the exit saves.
    branch_latency_s
        Predicted seconds of each exit branch alone.
    stages
        Number of the stage after which each exit stands; every stage has one if it is ``None``.

    A cost that nobody asked for may be ``None``.
    """

    macs: Sequence[int]
    params: Sequence[int] | None = None
    activation_bytes: Sequence[int] | None = None
    latency_s: Sequence[float] | None = None
    branch_macs: Sequence[int] | None = None
    branch_latency_s: Sequence[float] | None = None
    stages: Sequence[int] | None = None
