"""Which branches are trained: a strategy for each stage, which looks for accurate and cheap ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nni_earlyexit import strategies
from nni_earlyexit.bank.bank import Bank
from nni_earlyexit.bank.branch import Branch
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.search.ask_tell import AskTell, Exhausted

OBJECTIVES = {"accuracy": "max", "full_macs": "min"}
MARGIN = 0.01
"""A branch is hopeless when a cheaper one was more accurate by so much after as many passes."""
FIRST_PASSES = 1 / 3
"""Share of the passes after which that is asked for the first time."""


def hopeless(macs: int, passes: int, accuracy: float, all_passes: int, others: Iterable[StoredBranch]) -> bool:
    """``True`` if a branch of ``macs`` that is so accurate after ``passes`` is not worth more of them.

    ``others`` are trained branches of the same stage.
    """
    if passes < FIRST_PASSES * all_passes:
        return False
    return any(
        other.macs <= macs and len(other.accuracies) >= passes and other.accuracies[passes - 1] > accuracy + MARGIN
        for other in others
    )


class Exploration:
    """Strategies that propose branches, one for each stage.

    Parameters
    ----------
    bank
        The bank; what it holds is known to the strategies.
    count
        Branches to have in the end, those of the bank included; about as many of each stage.
    strategy, seed
        Name of the strategy, and its seed.
    """

    def __init__(self, bank: Bank, count: int, strategy: str = "nsga2", seed: int = 0) -> None:
        self._bank = bank
        self._explorers: dict[int, AskTell] = {}
        for stage in bank.branches.stages:
            domain = bank.branches.domain(stage)
            first = domain.canonical({label: values[0] for label, values in domain.choices.items()})
            explorer = strategies.create(strategy, objectives=OBJECTIVES, seed=seed + stage, initial=[first])
            explorer.start(domain)
            self._explorers[stage] = explorer
        held = bank.trained()
        for stored in held:
            self.tell(stored)
        each, more = divmod(count, max(1, len(self._explorers)))
        have = {stage: sum(stored.branch.stage == stage for stored in held) for stage in self._explorers}
        self._left = {stage: max(0, each + (place < more) - have[stage]) for place, stage in enumerate(self._explorers)}

    @property
    def left(self) -> int:
        """Branches still to be proposed."""
        return sum(self._left.values())

    def ask(self) -> Branch | None:
        """A branch that is worth a training, of the stage that has the most left; ``None`` when there is none."""
        while self.left:
            stage = max(self._left, key=lambda stage: self._left[stage])
            try:
                sample = self._explorers[stage].ask()
            except Exhausted:
                self._left[stage] = 0
                continue
            self._left[stage] -= 1
            return self._bank.branches.branch(stage, sample)
        return None

    def tell_failed(self, branch: Branch) -> None:
        """Take in that the training of ``branch`` failed: it is not asked for again."""
        self._explorers[branch.stage].tell(self._sample(branch), None)

    def _sample(self, branch: Branch) -> dict[str, Any]:
        choices = dict(branch.choices)
        labels = self._explorers[branch.stage].domain.choices
        return {label: choices.get(label, values[0]) for label, values in labels.items()}

    def tell(self, stored: StoredBranch) -> None:
        """Take in a trained branch."""
        explorer = self._explorers[stored.branch.stage]
        sample = self._sample(stored.branch)
        explorer.tell(sample, {"accuracy": stored.accuracy, "full_macs": stored.macs, "epochs": len(stored.accuracies)})
