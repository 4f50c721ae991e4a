"""A bank: each branch once, and networks that are what the bank says of them."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from nni_earlyexit import data, search_spaces
from nni_earlyexit.bank import Bank
from nni_earlyexit.bank import bank as bank_module
from nni_earlyexit.bank.bank import ABOUT, BRANCH, COPY
from nni_earlyexit.bank.exploration import Exploration
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.nn import blocks
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.training.settings import Settings
from torch import nn


def random_networks(bank, count=3):
    rng = np.random.default_rng(0)
    return [bank.branches.present(bank.space.sample(rng)) for _ in range(count)]


def test_a_network_from_the_bank_is_the_assembled_network(open_bank):
    bank = open_bank()
    for network in random_networks(bank):
        stored = [bank.train(branch) for branch in network]
        assembled = bank.network(stored)
        for part in ("validation", "calibration"):
            own = exit_logits(assembled, getattr(bank.data, part).parts())
            np.testing.assert_allclose(bank.logits(stored, part), own, atol=1e-3)
        costs, branch_costs = bank.costs(stored)
        assert costs == assembled.exit_costs
        assert branch_costs[:-1] == assembled.branch_costs[:-1]
        assert assembled.sample == bank.branches.sample(network)
        assert [own.params for own in stored] == [
            sum(p.numel() for p in assembled.exits[str(own.branch.stage)].parameters()) for own in stored
        ]


def test_a_branch_is_trained_once_and_read_by_others(open_bank, monkeypatch):
    bank = open_bank()
    network = next(network for network in random_networks(bank, 10) if len(network) > 1)
    first = [bank.train(branch) for branch in network]
    monkeypatch.setattr("nni_earlyexit.bank.bank.learn", None)
    again = open_bank()
    for branch, stored in zip(network, first, strict=True):
        other = again.train(branch)
        assert (other.branch, other.macs, other.accuracies) == (branch, stored.macs, stored.accuracies)
        assert np.array_equal(other.validation, stored.validation)
    assert {own.branch for own in again.trained()} == set(network)
    assert {own.branch for own in again.trained(network[0].stage)} == {network[0]}


def test_a_branch_does_not_depend_on_what_was_trained_before(open_bank):
    one, other = open_bank("one"), open_bank("other")
    first, second = [[branch] for network in random_networks(one, 10) for branch in network][:2]
    results = [[bank.train(branch) for branch in order] for bank, order in ((one, first + second), (other, second))]
    assert np.array_equal(results[0][-1].validation, results[1][-1].validation)


def test_a_branch_can_be_given_up_and_stays_so(open_bank):
    bank = open_bank(epochs=4)
    branch = random_networks(bank)[0][0]
    heard = []
    stored = bank.train(branch, lambda macs, passes, accuracy: heard.append((passes, accuracy)) or passes < 2)
    assert stored.given_up
    assert [passes for passes, _ in heard] == [1, 2]
    assert stored.accuracies == tuple(accuracy for _, accuracy in heard)
    again = open_bank(epochs=4)
    assert again.train(branch, lambda macs, passes, accuracy: True).given_up
    whole = bank.train(branch)  # as a trial does
    assert not whole.given_up
    assert len(whole.accuracies) == 4
    assert not again.train(branch).given_up


def test_with_views_there_are_fewer_passes_over_more(open_bank):
    bank = open_bank(epochs=4, views=2)
    branch = random_networks(bank)[0][0]
    assert len(bank.train(branch).accuracies) == bank.passes == 2
    assert len(bank.stage_outputs(branch.stage).train) == 2 * len(bank.data.train)


def a_bit_turned(content):
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


@pytest.mark.parametrize(
    "damage", [lambda content: b"", lambda content: b"junk" * 10, a_bit_turned], ids=["empty", "junk", "a bit"]
)
def test_a_damaged_branch_is_trained_again(open_bank, damage):
    bank = open_bank()
    branch = random_networks(bank)[0][0]
    whole = bank.train(branch)
    path = bank.folder / "branches" / branch.name / BRANCH
    path.write_bytes(damage(path.read_bytes()))
    said = []
    again = open_bank(said=said)
    assert again.trained() == []
    assert np.array_equal(again.train(branch).validation, whole.validation)
    assert any("is damaged" in line and "trained again" in line for line in said)


def test_a_branch_whose_layers_are_built_otherwise_now_is_trained_again(open_bank, trained_digits, monkeypatch):
    monkeypatch.setattr(blocks, "_builders", dict(blocks._builders))

    def opened(kernel, said):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is replaced
            blocks.register("own")(lambda in_chs, out_chs, *_: nn.Conv2d(in_chs, out_chs, kernel, padding=kernel // 2))
        return open_bank(
            space=search_spaces.create("trained", folder=str(trained_digits), exit_layers="own"), said=said
        )

    said = []
    bank = opened(1, said)
    branch = next(branch for network in random_networks(bank, 10) for branch in network if len(branch.choices) > 2)
    bank.train(branch)
    said.clear()
    assert [stored.branch for stored in opened(1, said).trained()] == [branch]
    assert said == []
    other = opened(3, said)
    assert other.trained() == []
    again = other.train(branch)
    assert any(tensor.shape[-2:] == (3, 3) for tensor in again.weights.values())
    assert any(line.endswith("are built otherwise now; it is trained again") for line in said)


OWN_LAYER = """
from torch import nn

class Own(nn.Conv2d):
    def forward(self, x):
        return {forward}
"""


def test_a_branch_whose_layers_compute_otherwise_now_is_trained_again(open_bank, trained_digits, monkeypatch, tmp_path):
    monkeypatch.setattr(blocks, "_builders", dict(blocks._builders))
    monkeypatch.syspath_prepend(tmp_path)

    def opened(forward):
        (tmp_path / "own_layer.py").write_text(OWN_LAYER.format(forward=forward))
        sys.modules.pop("own_layer", None)
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        importlib.invalidate_caches()
        kind = importlib.import_module("own_layer").Own
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is replaced
            blocks.register("own")(lambda in_chs, out_chs, *_: kind(in_chs, out_chs, 1))
        return open_bank(space=search_spaces.create("trained", folder=str(trained_digits), exit_layers="own"))

    bank = opened("super().forward(x)")
    branch = next(branch for network in random_networks(bank, 10) for branch in network if len(branch.choices) > 2)
    bank.train(branch)
    assert [stored.branch for stored in opened("super().forward(x)").trained()] == [branch]
    other = opened("super().forward(-x)")
    assert other.trained() == []
    (tmp_path / "own_layer.py").write_text("class Own(  # half edited")  # while it is trained
    other.train(branch)
    assert [stored.branch for stored in opened("super().forward(-x)").trained()] == [branch]


def test_a_function_in_a_layer_does_not_make_it_another_one(open_bank, trained_digits, monkeypatch):
    monkeypatch.setattr(blocks, "_builders", dict(blocks._builders))

    class Own(nn.Conv2d):
        def extra_repr(self):
            return f"act={object()}"  # with an address, as a function has

    def opened():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is replaced
            blocks.register("own")(lambda in_chs, out_chs, *_: Own(in_chs, out_chs, 1))
        return open_bank(space=search_spaces.create("trained", folder=str(trained_digits), exit_layers="own"))

    bank = opened()
    branch = next(branch for network in random_networks(bank, 10) for branch in network if len(branch.choices) > 2)
    bank.train(branch)
    assert [stored.branch for stored in opened().trained()] == [branch]


def test_what_a_bank_belongs_to_is_told_from_the_copy_where_the_file_is_damaged(open_bank):
    folder = open_bank().folder
    for damage in ("{", None):
        (folder / ABOUT).write_text(damage) if damage else (folder / ABOUT).unlink()
        with pytest.raises(ValueError, match=r"trained with epochs=2, not 3; choose another folder"):
            open_bank(epochs=3)
        open_bank()


def test_an_option_that_this_version_does_not_know_makes_it_another_bank(open_bank):
    folder = open_bank().folder
    about = json.loads((folder / ABOUT).read_text())
    about["training"]["later"] = 3
    for name in (ABOUT, COPY):
        (folder / name).write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"trained with later=3, not None; choose another folder"):
        open_bank()


def test_one_without_an_option_that_this_version_has_is_of_another_version(open_bank):
    folder = open_bank().folder
    about = json.loads((folder / ABOUT).read_text())
    unused = next(name for name, value in about["training"].items() if value is None)
    del about["training"][unused]
    for name in (ABOUT, COPY):
        (folder / name).write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"does not describe a bank of this version; choose another folder"):
        open_bank()


def test_a_bank_that_cannot_be_written_opens_with_one_of_the_two_files(open_bank, monkeypatch):
    folder = open_bank().folder
    (folder / COPY).unlink()

    def refuses(path, content):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(bank_module, "write_json", refuses)
    open_bank()
    (folder / ABOUT).unlink()
    with pytest.raises(PermissionError):
        open_bank()


def test_another_backbone_data_set_seed_or_recipe_is_refused(open_bank, tmp_path, digits, digits_space, two_exits):
    open_bank()
    with pytest.raises(ValueError, match=r"bank: .* trained with epochs=2, not 3; choose another folder"):
        open_bank(epochs=3)
    with pytest.raises(ValueError, match=r"trained with views=1, not 2"):
        open_bank(views=2)
    with pytest.raises(ValueError, match=r"branches for another data; choose"):
        open_bank(task=data.load("digits", seed=1))
    other = replace(digits, preprocessing=replace(digits.preprocessing, class_names=tuple("abcdefghij")))
    with pytest.raises(ValueError, match=r"branches for another preprocessing; choose"):
        open_bank(task=other)
    again = train_one(
        digits_space, two_exits, Settings.from_options(epochs=1, threads=1), tmp_path / "net", lambda line: None
    )
    assert again.network.sample == two_exits
    with pytest.raises(ValueError, match=r"branches for another backbone; choose"):
        open_bank(space=search_spaces.create("trained", folder=str(tmp_path / "net")))
    for name in (ABOUT, COPY):
        (tmp_path / "bank" / name).write_text("[]")
    with pytest.raises(ValueError, match="does not describe a bank"):
        open_bank()


@pytest.mark.parametrize("name", [ABOUT, COPY])
@pytest.mark.parametrize("damage", ["", "[]", "{", '{"format": 7}', None], ids=repr)
def test_of_what_a_bank_belongs_to_a_damaged_file_is_made_again_from_its_copy(open_bank, name, damage):
    path = open_bank().folder / name
    whole = path.read_text()
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    said = []
    open_bank(said=said)
    assert path.read_text() == whole
    assert said == ([] if damage is None else [f"{path} was damaged, and is made again from its copy"])


@pytest.mark.parametrize(
    "options", [{"regime": "mixed"}, {"distillation": 0.5}, {"exit_weights": "linear"}, {"gradient_equilibrium": True}]
)
def test_options_about_several_exits_are_refused(open_bank, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}: .* is not possible with a bank"):
        open_bank(**options)


def test_sentences_have_branches_that_see_tokens(tmp_path, rng):
    lines = [f"{' '.join(rng.choice(['good', 'bad', 'film', 'plot'], 4))}\t{i % 2}" for i in range(80)]
    (tmp_path / "train.tsv").write_text("\n".join(lines))
    options = {"data": f"tsv:{tmp_path / 'train.tsv'}", "tokens": 8, "vocabulary": 16}
    space = search_spaces.create("text tokens=8 channels=8 vocabulary=16")
    settings = Settings.from_options(**options, epochs=1, threads=1)
    train_one(space, space.cheapest(exit=-1)[0], settings, tmp_path / "net", say=lambda line: None)
    taken = search_spaces.create("trained", folder=str(tmp_path / "net"))
    task = data.load(options["data"], tokens=8, vocabulary=16)
    bank = Bank(tmp_path / "bank", taken, task, Recipe(epochs=1, threads=1))
    for network in random_networks(bank, 4):
        stored = [bank.train(branch) for branch in network]
        assembled = bank.network(stored)
        own = exit_logits(assembled, bank.data.validation.parts())
        np.testing.assert_allclose(bank.logits(stored), own, atol=1e-3)
        assert bank.costs(stored)[0] == assembled.exit_costs == taken.exit_costs(assembled.sample)
    with pytest.raises(ValueError, match="views: 2 is not possible for sentences"):
        Bank(tmp_path / "other", taken, task, Recipe(views=2))


@pytest.mark.parametrize(
    "rules", [{"fixed_exits": 1, "max_exits": 1}, {"banned_exits": 0}, {"exit_heads": "catavgmax"}]
)
def test_a_bank_is_shared_by_spaces_with_other_rules(open_bank, trained_digits, rules):
    whole = open_bank(epochs=1)
    for network in random_networks(whole):
        for branch in network:
            whole.train(branch)
    space = search_spaces.create("trained", folder=str(trained_digits), **rules)
    bank = open_bank(space=space, epochs=1)
    held = bank.trained()
    assert {own.branch for own in held} <= {own.branch for own in whole.trained()}
    assert all(bank.branches.holds(own.branch) for own in held)
    exploration = Exploration(bank, len(held) + len(bank.branches.stages))
    while (branch := exploration.ask()) is not None:
        exploration.tell(bank.train(branch))
    assert bank.branches.stages == ([1] if "max_exits" in rules else [1, 2] if "banned_exits" in rules else [0, 1, 2])


def test_what_changes_images_changes_views_and_not_what_comes_out_of_stages(open_bank):
    bank = open_bank(views=2, shift=0.5, mirror="none", epochs=2)
    assert (bank._views.shift, bank._views.mirror) == (0.5, "none")
    assert open_bank("other", epochs=2, shift=0, mixup=0, mirror="none").passes == 2
    with pytest.raises(
        ValueError, match="^mixup: 0.5 is not possible with a bank, whose branches learn from stored outputs; "
    ):
        open_bank(views=2, mixup=0.5)
    with pytest.raises(
        ValueError, match="^shift: 0.5 is not possible with a bank, .* of the inputs as they are; leave it"
    ):
        open_bank(shift=0.5)


@pytest.mark.parametrize("options", [{"views": 2}, {"views": 2, "shift": 0.5}, {"views": 2, "recipe": "strong"}])
def test_another_process_makes_the_same_views(open_bank, options):
    bank = open_bank(epochs=2, **options)
    other = Bank(bank.folder, bank.space, bank.data, bank.asked)
    assert (other._views, other.recipe) == (bank._views, bank.recipe)
    assert bank.train(random_networks(bank)[0][0]).accuracy > 0


WRITER = """
import sys
from pathlib import Path
from nni_earlyexit import data, search_spaces
from nni_earlyexit.bank.bank import Bank
from nni_earlyexit.training.recipe import Recipe
import numpy as np
folder, trained = sys.argv[1:]
space = search_spaces.create("trained", folder=trained)
bank = Bank(Path(folder), space, data.load("digits"), Recipe(epochs=2, threads=1))
rng = np.random.default_rng(3)
for _ in range(4):
    for branch in bank.branches.present(space.sample(rng)):
        bank.train(branch)
print(sum(stored.accuracy for stored in bank.trained()), len(bank.trained()))
"""


@pytest.mark.slow
def test_two_processes_write_one_bank(tmp_path, trained_digits):
    command = [sys.executable, "-W", "ignore", "-c", WRITER, str(tmp_path / "bank"), str(trained_digits)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [writer.communicate(timeout=600)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert said[0] == said[1]
    files = [path.name for path in (tmp_path / "bank").rglob("*") if path.is_file()]
    assert not [name for name in files if name.endswith(".part")]
    assert json.loads((tmp_path / "bank" / "bank.json").read_text())["format"] == 1
