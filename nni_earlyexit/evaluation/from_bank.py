"""A network whose branches a bank holds, measured without running it: its outputs are stacked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from nni_earlyexit.bank.bank import Bank
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.data.splits import Data
from nni_earlyexit.evaluation.evaluation import Evaluation, evaluate
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.search.costs import ExitSeconds
from nni_earlyexit.training.fit import AfterEpoch
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.training.settings import Settings
from numpy.typing import NDArray


def evaluate_in_bank(
    bank: Bank, sample: Mapping[str, Any], settings: Settings, *, latency: ExitSeconds | None = None
) -> Evaluation:
    """The network of the bank's space that ``sample`` means: only the branches that the bank lacks are trained.

    Nothing is trained if the network is known to miss a limit. ``latency``: its predicted seconds, if they are known.
    """
    branches: list[StoredBranch] = []
    missing = 0

    def train(network: EarlyExitNetwork, data: Data, recipe: Recipe, after_epoch: AfterEpoch) -> None:
        nonlocal missing
        present = bank.branches.present(sample)
        missing = sum((stored := bank.get(branch)) is None or stored.given_up for branch in present)
        branches[:] = [bank.train(branch) for branch in present]
        bank.fill(network, branches)
        after_epoch(bank.recipe.epochs, network)

    def run(network: EarlyExitNetwork, data: Data, part: str) -> NDArray[np.float32]:
        return bank.logits(branches, part)

    network = bank.space.freeze(sample)
    result = evaluate(network, bank.data, settings, latency=latency, train=train, run=run)
    return replace(result, metrics={**result.metrics, "new_branches": missing})
