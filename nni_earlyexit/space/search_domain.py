"""A space as a strategy sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nni.mutable import Categorical
from nni.nas.nn.pytorch import ModelSpace
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.search.domain import Domain
from nni_earlyexit.search.limits import LIMITS, Limits
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.space.latency_table import Latencies
from nni_earlyexit.utils.amounts import format_amount


def domain(space: EarlyExitSpace, limits: Limits, latencies: Latencies | None = None) -> Domain:
    """The choices of ``space``, with the ``limits`` as far as they are known before training.

    Raises ``ValueError`` when even the cheapest network misses a limit.
    """
    check_limits(space, limits, latencies)
    functions = {LIMITS[name].cost: _cost(space, LIMITS[name].cost, latencies) for name in limits.given()}
    functions["macs"] = space.exit_costs

    def excess(sample: Mapping[str, Any]) -> float:
        return limits.excess(ExitCosts(**{name: cost(sample) for name, cost in functions.items()}))

    def costs(sample: Mapping[str, Any]) -> ExitCosts:
        exit_costs = space.all_costs(sample)
        return exit_costs if latencies is None else replace(exit_costs, latency_s=latencies(sample))

    return Domain(
        choices=space.choices,
        canonical=space.canonical,
        excess=excess if limits.given() else lambda sample: 0.0,
        valid=lambda sample: not space.violation(sample),
        costs=costs,
        name=space.identity(),
        size=space.size(),
        limits={
            name: limit
            for name, limit in (("avg_macs", limits.max_avg_macs), ("latency_s", limits.max_latency_s))
            if limit
        },
    )


def plain_domain(space: ModelSpace) -> Domain:
    """The choices of any space of NNI's, such as those of its hub: no exits, and no limits before training.

    Raises ``TypeError`` for a choice that is not one of several values.
    """
    choices = {}
    for label, mutable in space.simplify().items():
        if not isinstance(mutable, Categorical):
            raise TypeError(f"{label}: {type(mutable).__name__} is not possible in a search; Categorical is")
        choices[label] = list(mutable.values)
    return Domain(choices, name=type(space).__name__)


def check_limits(space: EarlyExitSpace, limits: Limits, latencies: Latencies | None = None) -> None:
    """``ValueError`` that says what the cheapest network costs when no network of ``space`` can meet the ``limits``."""
    for name, limit in limits.given().items():
        cost, exit, unit = LIMITS[name]
        try:
            _, least = space.extreme(_cost(space, cost, latencies), exit=exit)
        except TypeError as error:
            raise ValueError(f"{name}: {cost} of this space are not known before training: {error}") from None
        if least > limit:
            raise ValueError(
                f"{name}: {format_amount(limit)} is below the cheapest network of space {space.identity()}, "
                f"whose {'last' if exit else 'first'} exit costs {format_amount(least)} ({least} {unit}){_narrower(space)}"
            )


NARROWING = ("width", "channels")
"""Arguments of spaces that make every network cheaper where they are smaller."""


def _narrower(space: EarlyExitSpace) -> str:
    """The end of a sentence: the argument that makes the networks of ``space`` cheaper, if it has one."""
    own = {argument.name: argument.default for argument in space.described_arguments()}
    values = {name: space.arguments.get(name, own[name]) for name in NARROWING if name in own}
    return "".join(f"; a space with a smaller {name}= has cheaper ones (it is {v})" for name, v in values.items())


def _cost(
    space: EarlyExitSpace, name: str, latencies: Latencies | None
) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    if name == "latency_s":
        if latencies is None:
            raise ValueError("max_latency_s: it needs a latency table")
        return latencies
    return {
        "macs": space.exit_costs,
        "params": space.exit_params,
        "activation_bytes": space.exit_activation_bytes,
    }[name]
