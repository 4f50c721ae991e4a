"""A space as a strategy sees it."""

from __future__ import annotations

from nni_earlyexit.ask_tell import Domain
from nni_earlyexit.goal import Goal, format_macs
from nni_earlyexit.space import EarlyExitSpace


def domain(space: EarlyExitSpace, goal: Goal) -> Domain:
    """The choices of ``space``, with the limits of ``goal`` as far as they are known before training.

    Raises ``ValueError`` when even the cheapest network misses a limit.
    """
    check_limits(space, goal)
    return Domain(space.choices, space.canonical, lambda sample: goal.excess_macs(space.exit_costs(sample)))


def check_limits(space: EarlyExitSpace, goal: Goal) -> None:
    """``ValueError`` that says what the cheapest network costs when no network of ``space`` can meet ``goal``."""
    for name, exit, what in (("max_full_macs", -1, "last"), ("max_avg_macs", 0, "first")):
        limit = getattr(goal, name)
        if limit is None:
            continue
        _, cheapest = space.cheapest(exit=exit)
        if cheapest > limit:
            raise ValueError(
                f"{name}: {format_macs(limit)} is below the cheapest network of space {space.identity()}, "
                f"whose {what} exit costs {format_macs(cheapest)} ({cheapest} MACs)"
            )
