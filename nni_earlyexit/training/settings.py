"""Settings of a trial, said once: data, training, goal and limits.

The trial's command line, the evaluator's arguments, the check of an experiment file, the tuner's limits and the tables of the
documentation are made from the fields of the parts. Checked plain data, without torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.search.goal import Goal
from nni_earlyexit.search.limits import Limits
from nni_earlyexit.thresholds.operating_point import OperatingPoint
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.utils.options import build, flat


@dataclass(frozen=True)
class Settings:
    """Settings by which a trial trains and judges a network; ``ValueError`` for values that cannot work."""

    data: DataSettings = field(default_factory=DataSettings)
    training: Recipe = field(default_factory=Recipe)
    goal: Goal = field(default_factory=Goal)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.limits.check_latency_is_known()
        _ = self.operating_point

    @property
    def operating_point(self) -> OperatingPoint:
        """The point of a network's trade-off that is reported, its cost being MACs."""
        return self.goal.operating_point(self.limits.max_avg_macs)

    def with_whole_paths(self) -> Settings:
        """The same with paths from ``/``, which mean the same file wherever they are read later."""
        return Settings(
            self.data.with_whole_paths(), self.training.with_whole_paths(), self.goal, self.limits.with_whole_paths()
        )

    def for_network(self, input_shape: Sequence[int]) -> Settings:
        """The same for networks that take inputs of this shape, where image files can be made so."""
        return replace(self, data=self.data.for_shape(tuple(input_shape)))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, flat: the value of every option by its name."""
        return flat(self)

    @classmethod
    def from_options(cls, **options: Any) -> Settings:
        """Settings from options by their names; ``ValueError`` with the nearest names for an unknown one.

        What they name must be there, or it is a ``FileNotFoundError``.
        """
        settings = build(cls, options, "settings")
        settings.check_there()
        return settings

    def check_there(self) -> None:
        """``FileNotFoundError`` or ``ValueError`` unless the data and the latency table are where they are said to be.

        Stored settings can be of what is elsewhere by now.
        """
        self.data.check_there()
        self.limits.check_there()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Settings:
        """The inverse of :meth:`to_dict`."""
        return build(cls, data, "settings")
