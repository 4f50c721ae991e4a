"""Which branches are trained, and which are given up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from nni_earlyexit.bank.branch import Branch
from nni_earlyexit.bank.exploration import Exploration, hopeless
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.bank.trainers import explored
from nni_earlyexit.data.settings import DataSettings


def stored(macs, *accuracies):
    nothing = np.empty((0, 2), dtype=np.float32)
    return StoredBranch(Branch(0, ()), macs, 1, accuracies, False, 0.0, nothing, nothing, {})


@pytest.mark.parametrize(
    ("macs", "passes", "accuracy", "expected"),
    [
        (100, 2, 0.5, True),  # cheaper, and better at the same time
        (100, 2, 0.595, False),  # not by enough
        (40, 2, 0.5, False),  # what is cheaper itself may be worse
        (100, 1, 0.1, False),  # too early to say
        (100, 5, 0.1, False),  # the other one never came so far
    ],
)
def test_a_branch_is_hopeless_beside_a_cheaper_one_that_is_better(macs, passes, accuracy, expected):
    others = [stored(50, 0.4, 0.6, 0.7)]
    assert hopeless(macs, passes, accuracy, 6, others) is expected


def test_every_stage_has_its_share_and_what_is_there_counts(open_bank):
    bank = open_bank(epochs=1)
    exploration = Exploration(bank, 6)
    asked = []
    while (branch := exploration.ask()) is not None:
        asked.append(branch)
        exploration.tell(bank.train(branch))
    assert [sum(branch.stage == stage for branch in asked) for stage in bank.branches.stages] == [2, 2, 2]
    assert len(set(asked)) == 6
    assert len(dict(asked[0].choices)) == 2  # the simplest comes first: depth 0, and its head
    more = Exploration(open_bank(epochs=1), 8)
    assert more.left == 2
    assert more.ask() not in asked


@pytest.mark.slow
def test_processes_train_what_one_would(open_bank):
    alone, several = open_bank("alone", epochs=1), open_bank("several", epochs=1)
    for bank, jobs in ((alone, 1), (several, 2)):
        list(explored(bank, Exploration(bank, 3), DataSettings(), jobs))
    found = [sorted((own.branch.name, own.accuracy) for own in bank.trained()) for bank in (alone, several)]
    assert found[0] == found[1]
    assert len(found[0]) == 3


def test_given_up_is_remembered(tmp_path):
    given_up = replace(stored(5, 0.25), given_up=True, branch=Branch(2, (("exit2_depth", 0), ("exit2_head", "avg"))))
    given_up.save(tmp_path / "branch.safetensors")
    again = StoredBranch.load(tmp_path / "branch.safetensors")
    assert (again.given_up, again.branch, again.accuracy) == (True, given_up.branch, 0.25)
