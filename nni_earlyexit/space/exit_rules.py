"""Rules for the exits that a network can have."""

from __future__ import annotations

from typing import NamedTuple

from nni_earlyexit.utils.checks import is_whole, optional, whole_number


class ExitRules(NamedTuple):
    """Rules for the exits that can be there; stages count from 0, and the last exit is always there.

    Attributes
    ----------
    max_exits
        Most exits, the last one not counted; ``None`` for no limit.
    first_exit
        First stage that can have one.
    fixed_exits
        Stages that always have one.
    banned_exits
        Stages that never have one.
    """

    max_exits: int | None = None
    first_exit: int = 0
    fixed_exits: tuple[int, ...] = ()
    banned_exits: tuple[int, ...] = ()

    def check(self, stages: int) -> None:
        """``ValueError`` unless the rules can be kept by a network of so many ``stages``."""
        optional(whole_number(0))("max_exits", self.max_exits)
        whole_number(0)("first_exit", self.first_exit)
        for name, given in (("fixed_exits", self.fixed_exits), ("banned_exits", self.banned_exits)):
            for stage in given:
                if not is_whole(stage) or not 0 <= stage < stages - 1:
                    raise ValueError(f"{name}: {stage!r} is not possible; stages 0 to {stages - 2} are")
        for stage in self.fixed_exits:
            if self.bans(stage):
                raise ValueError(f"fixed_exits: stage {stage} is banned by first_exit or banned_exits")
        if self.max_exits is not None and len(set(self.fixed_exits)) > self.max_exits:
            raise ValueError(f"fixed_exits: {len(set(self.fixed_exits))} are more than max_exits={self.max_exits}")

    def bans(self, stage: int) -> bool:
        """``True`` if there is never an exit after ``stage``."""
        return stage < self.first_exit or stage in self.banned_exits
