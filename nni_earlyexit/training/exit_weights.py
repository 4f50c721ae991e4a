"""Weights of the exits in the joint loss."""

from __future__ import annotations

from collections.abc import Sequence

from nni_earlyexit.nn.network import EarlyExitNetwork


def exit_weights(wanted: str | Sequence[float | str] | None, network: EarlyExitNetwork) -> list[float]:
    """The weight of each exit of ``network``; they add up to one.

    Parameters
    ----------
    wanted
        ``"constant"`` or ``None``: all equal; ``"linear"``: 1, 2, 3, ... from the first exit; ``"cost"``: as the MACs to leave
        there; or a number for the exit after each stage, the last one included, of which those of absent exits do not count.

    Raises
    ------
    ValueError
        For numbers that do not fit the stages of the network or leave nothing to its exits.
    """
    stages = network.exit_stages
    wanted = _word(wanted) or wanted
    weights: Sequence[float]
    if wanted is None or wanted == "constant":
        weights = [1.0] * len(stages)
    elif wanted == "linear":
        weights = [exit + 1.0 for exit in range(len(stages))]
    elif wanted == "cost":
        weights = network.exit_costs
    else:
        given = [float(weight) for weight in wanted]
        if len(given) != stages[-1] + 1:
            raise ValueError(f"exit_weights: {len(given)} given for {stages[-1] + 1} stages; one per stage is needed")
        weights = [given[stage] for stage in stages]
        if sum(weights) <= 0:
            raise ValueError(f"exit_weights: {tuple(given)} leave no weight to exits after stages {stages}")
    return [weight / sum(weights) for weight in weights]


def check_number_of_weights(wanted: str | Sequence[float | str] | None, stages: int) -> None:
    """``ValueError`` unless ``wanted`` is a word or has a weight for each of so many ``stages``."""
    if wanted is not None and _word(wanted) is None and len(wanted) != stages:
        raise ValueError(f"exit_weights: {len(wanted)} given for {stages} stages; one per stage is needed")


def _word(wanted: str | Sequence[float | str] | None) -> str | None:
    """The word that ``wanted`` is, alone or, from a command line, in a list."""
    if isinstance(wanted, str):
        return wanted
    return wanted[0] if wanted is not None and len(wanted) == 1 and isinstance(wanted[0], str) else None
