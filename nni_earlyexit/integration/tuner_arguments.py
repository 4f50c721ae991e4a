"""The class arguments of the tuner in an experiment file: checked plain data, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nni_earlyexit import search_spaces, strategies
from nni_earlyexit.search.goal import LIMITS, Goal
from nni_earlyexit.search.objectives import DEFAULT_OBJECTIVES, check_objectives
from nni_earlyexit.space import identity
from nni_earlyexit.utils.amounts import parse_amount
from nni_earlyexit.utils.checks import unknown


@dataclass(frozen=True)
class TunerArguments:
    """What the ``classArgs`` of the ``EarlyExit`` tuner may hold.

    Parameters
    ----------
    space
        Name of the search space.
    strategy
        Name of the strategy.
    strategy_arguments
        Arguments of the strategy: ``initial`` (a list of samples to try first), ``whole_fronts``, and its own, such as
        ``initial_random``.
    objectives
        Metrics with ``max`` or ``min``.
    max_avg_macs, max_full_macs, max_params, max_activation_bytes, max_latency_s
        Limits, as numbers or with a unit such as ``400k``. A sample that cannot meet them is never proposed.
    latency_table
        File of a latency table, which a limit on latency needs.
    seed
        Fixes every random decision of the strategy.
    """

    space: str
    strategy: str = "surrogate"
    strategy_arguments: Mapping[str, Any] = field(default_factory=dict)
    objectives: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_OBJECTIVES))
    max_avg_macs: float | None = None
    max_full_macs: float | None = None
    max_params: float | None = None
    max_activation_bytes: float | None = None
    max_latency_s: float | None = None
    latency_table: str | None = None
    seed: int = 0

    @classmethod
    def parse(cls, arguments: Mapping[str, Any] | None) -> TunerArguments:
        """Arguments from an experiment file; ``ValueError`` that names the field, the value and what would be right."""
        if arguments is not None and not isinstance(arguments, Mapping):
            raise ValueError(f"classArgs: {arguments!r} is not possible; a mapping is")
        given = dict(arguments or {})
        names = [f.name for f in fields(cls)]
        for name in given:
            if name not in names:
                raise unknown("classArgs", name, names)
        if "space" not in given:
            raise ValueError(f"classArgs: space is missing; it can be {', '.join(search_spaces.names())}")
        for name in LIMITS:
            if isinstance(given.get(name), str):
                try:
                    given[name] = parse_amount(given[name])
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
        return cls(**given)

    def __post_init__(self) -> None:
        search_spaces.check_name(identity.parse(str(self.space)).name)
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed: {self.seed!r} is not possible; a whole number from 0 is")
        check_objectives(self.objectives)
        for what, asked in (
            ("max_latency_s", self.max_latency_s),
            ("objectives: latency_s", self.objectives.get("latency_s")),
        ):
            if asked is not None and self.latency_table is None:
                raise ValueError(f"{what} needs a latency_table; 'nni-earlyexit latency' makes one")
        if self.latency_table is not None and not Path(str(self.latency_table)).is_file():
            raise FileNotFoundError(f"latency_table: there is no file {self.latency_table!r}")
        _ = self.goal
        self.create_strategy()

    @property
    def goal(self) -> Goal:
        """The limits."""
        return Goal(**{name: getattr(self, name) for name in LIMITS})

    def create_strategy(self) -> Any:
        """The ask/tell strategy; ``ValueError`` for arguments that it does not accept."""
        if not isinstance(self.strategy_arguments, Mapping):
            raise ValueError(f"strategy_arguments: {self.strategy_arguments!r} is not possible; a mapping is")
        given = {str(name): value for name, value in self.strategy_arguments.items()}
        for name in ("name", "objectives", "seed"):
            if name in given:
                raise ValueError(
                    f"strategy_arguments: {name!r} is not one of them; classArgs has strategy, objectives and seed"
                )
        return strategies.create(str(self.strategy), objectives=self.objectives, seed=self.seed, **given)
