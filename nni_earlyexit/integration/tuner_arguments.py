"""The class arguments of the tuner in an experiment file: checked plain data, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nni_earlyexit import search_spaces, strategies
from nni_earlyexit.search.ask_tell import AskTell
from nni_earlyexit.search.limits import LIMITS, Limits
from nni_earlyexit.search.objectives import DEFAULT_OBJECTIVES, check_objectives
from nni_earlyexit.space import identity
from nni_earlyexit.utils.amounts import parse_amount
from nni_earlyexit.utils.checks import Check, optional, whole_number
from nni_earlyexit.utils.options import build, check_options, flat, option

_TEXT = Check("a name", lambda v: isinstance(v, str))
_MAPPING = Check("a mapping", lambda v: isinstance(v, Mapping))


@dataclass(frozen=True)
class TunerArguments:
    """The ``classArgs`` of the ``EarlyExit`` tuner; ``ValueError`` for values that cannot work.

    Limits are those of the ``trialCommand``, where an experiment file says them once; here they may be repeated.
    """

    space: str | None = option(
        None, "name of the search space, with its arguments; that of the search space file by default", optional(_TEXT)
    )
    strategy: str = option("surrogate", "name of the strategy", _TEXT)
    strategy_arguments: Mapping[str, Any] | None = option(
        None,
        "arguments of the strategy: initial (a list of samples to try first), whole_fronts, and its own",
        optional(_MAPPING),
    )
    objectives: Mapping[str, str] | None = option(
        None, "metrics with max or min; accuracy up and avg_macs down by default", optional(_MAPPING)
    )
    seed: int = option(0, "fixes every random decision of the strategy", whole_number(0))
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def parse(cls, arguments: Mapping[str, Any] | None) -> TunerArguments:
        """Arguments from an experiment file; ``ValueError`` that names the field, the value and what would be right."""
        if arguments is not None and not isinstance(arguments, Mapping):
            raise ValueError(f"classArgs: {arguments!r} is not possible; a mapping is")
        given = dict(arguments or {})
        for name in LIMITS:
            if isinstance(given.get(name), str):
                try:
                    given[name] = parse_amount(given[name])
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
        return build(cls, given, "classArgs")

    def __post_init__(self) -> None:
        check_options(self)
        self.limits.check_latency_is_known()
        if self.space is not None:
            search_spaces.check_name(identity.parse(self.space).name)
        self.create_strategy()

    def agreed_limits(self, trial: Limits | None) -> Limits:
        """The limits of the search, given those of the ``trialCommand`` if it is ours; ``ValueError`` unless they agree."""
        if trial is not None and self.limits != Limits():
            theirs = flat(trial)
            for name, limit in flat(self.limits).items():
                if limit != theirs[name]:
                    raise ValueError(
                        f"{name}: the tuner's is {limit} and the trialCommand's is {theirs[name]}; they must be the same, or "
                        "stand in the trialCommand alone"
                    )
        limits = self.limits if trial is None else trial
        limits.check_latency_is_known(self.create_strategy().objectives)
        return limits

    def create_strategy(self) -> AskTell:
        """The ask/tell strategy; ``ValueError`` for arguments that it does not accept."""
        given = {str(name): value for name, value in (self.strategy_arguments or {}).items()}
        for name in ("name", "objectives", "seed"):
            if name in given:
                raise ValueError(
                    f"strategy_arguments: {name!r} is not one of them; classArgs has strategy, objectives and seed"
                )
        objectives = check_objectives(DEFAULT_OBJECTIVES if self.objectives is None else self.objectives)
        return strategies.create(self.strategy, objectives=objectives, seed=self.seed, **given)
