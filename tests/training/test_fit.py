from __future__ import annotations

import contextlib
import copy
import gc
import math
import time
import zipfile
from dataclasses import replace

import pytest
import torch
from nni_earlyexit.evaluation.evaluation import evaluate
from nni_earlyexit.training import fit as fit_module
from nni_earlyexit.training.checkpoint import Checkpoint
from nni_earlyexit.training.fit import fit, trainer
from nni_earlyexit.training.phases import phases
from nni_earlyexit.training.plateau import Plateau
from nni_earlyexit.training.precision import choose_precision
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import garbage
from small_networks import network, task
from torch.nn.functional import cross_entropy


def recipe(**options):
    return Recipe(**{"recipe": "plain", "epochs": 4, "batch_size": 16, **options})


def fitted(checkpoint=None, after_epoch=lambda epochs, net: True, inputs=96, say=lambda line: None, **options):
    net = network()
    fit(net, task(inputs), recipe(**options), after_epoch, checkpoint=checkpoint, say=say)
    return net


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def accuracy(net, exit):
    data = task()
    with torch.no_grad():
        return (net.eval()(data.test.x)[exit].argmax(dim=1) == data.test.y).float().mean().item()


RECIPES = [
    {},
    {"recipe": "fast"},
    {"recipe": "standard", "learning_rate": 0.02},
    {"recipe": "strong", "learning_rate": 0.02},
    {"averaging": 0.9},
    {"precision": "bfloat16"},
    {"clip_gradient": 1.0},
    {"clip_gradient": 1.0, "precision": "bfloat16"},
    {"warmup": 1.0},
    {"regime": "mixed"},
    {"distillation": 0.5},
    {"gradient_equilibrium": True},
    {"class_weights": True},
]


@pytest.mark.parametrize("options", RECIPES, ids=str)
def test_every_way_of_training_learns_and_is_repeatable(options):
    first, again = fitted(epochs=6, **options), fitted(epochs=6, **options)
    assert same(first, again)
    assert max(accuracy(first, exit) for exit in range(3)) > 0.8
    assert not same(first, fitted(epochs=6, seed=1, **options))


def test_the_regimes_are_phases():
    net = network()
    assert [tuple(phase) for phase in phases(recipe(), net)] == [("all exits", 4, (0, 1, 2), False)]
    assert [tuple(phase) for phase in phases(recipe(regime="mixed", epochs=5), net)] == [
        ("backbone", 2, (2,), False),
        ("all exits", 3, (0, 1, 2), False),
    ]
    assert [tuple(phase) for phase in phases(recipe(regime="frozen"), net)] == [
        ("backbone", 2, (2,), False),
        ("early exits", 2, (0, 1), True),
    ]
    assert len(phases(recipe(regime="frozen", epochs=1), net)) == 1
    assert len(phases(recipe(regime="mixed"), net.keep((2,)))) == 1


def test_a_frozen_backbone_keeps_weights_and_statistics_while_its_exits_learn():
    seen = []
    net = fitted(regime="frozen", after_epoch=lambda epochs, net: seen.append(copy.deepcopy(net.state_dict())) or True)
    after_backbone, end = seen[1], net.state_dict()
    early = ("exits.0.", "exits.1.")
    assert all(torch.equal(after_backbone[name], end[name]) for name in end if not name.startswith(early))
    assert all(not torch.equal(after_backbone[name], end[name]) for name in end if name.startswith(early))
    assert all(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("regime", ["mixed", "frozen"])
def test_neither_a_plateau_nor_a_time_limit_leaves_out_a_phase(regime):
    net, before = network(), network()
    fit(net, task(), recipe(regime=regime, epochs=100_000, time_limit=1.0), lambda epochs, net: True)
    assert not torch.equal(net.exits["0"][2].weight, before.exits["0"][2].weight)
    settings = Settings.from_options(regime=regime, epochs=8, patience=1, recipe="plain")
    heard = []
    evaluate(network(), task(), settings, after_epoch=lambda metrics: heard.append(metrics["epochs"]) or True)
    assert heard[-1] > 4


def test_the_last_exit_teaches_the_early_ones_on_a_frozen_backbone(monkeypatch):
    from nni_earlyexit.training import joint_loss

    taught = []
    plain = joint_loss.distillation_loss
    monkeypatch.setattr(
        joint_loss, "distillation_loss", lambda student, teacher: taught.append(None) or plain(student, teacher)
    )
    net = fitted(regime="frozen", distillation=0.5)
    steps = 2 * 96 // 16
    assert len(taught) == 2 * steps
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_what_a_space_keeps_stays_kept_after_a_phase():
    net = network()
    net.stem.requires_grad_(False)
    fit(net, task(), recipe(regime="frozen"), lambda epochs, net: True)
    assert not any(parameter.requires_grad for parameter in net.stem.parameters())
    assert all(parameter.requires_grad for parameter in net.stages.parameters())


def test_ctrl_c_ends_a_training():
    def interrupt(epochs, net):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(after_epoch=interrupt)


def test_epochs_are_counted_across_phases():
    heard = []
    fitted(regime="mixed", after_epoch=lambda epochs, net: heard.append(epochs) or True)
    assert heard == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"inputs": 100},
        {"regime": "mixed"},
        {"regime": "mixed", "averaging": 0.9},
        {"recipe": "strong", "averaging": 0.9},
    ],
    ids=str,
)
@pytest.mark.parametrize("over", [1, 2, 3, 4])
def test_a_training_that_was_interrupted_goes_on_to_the_same_weights(over, options, tmp_path):
    class Killed(Exception):
        pass

    def kill(epochs, net):
        if epochs > over:
            raise Killed
        return True

    path = tmp_path / "training.ckpt"
    with contextlib.suppress(Killed):
        fitted(path, after_epoch=kill, **options)
    heard = []
    resumed = fitted(path, after_epoch=lambda epochs, net: heard.append(epochs) or True, **options)
    assert heard == (list(range(over + 1, 5)) or [4])  # it hears again of what was over
    assert same(resumed, fitted(**options))


def test_a_checkpoint_that_is_damaged_is_named_and_nothing_in_it_is_executed(tmp_path):
    import pickle

    path = tmp_path / "training.ckpt"
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(ValueError, match=r"checkpoint: .*training.ckpt' cannot be read: .*; remove it"):
        Checkpoint.read(path)
    assert Checkpoint.read(tmp_path / "none.ckpt") is None


@pytest.mark.parametrize("damage", ["cut", "a bit"])
def test_of_a_damaged_checkpoint_the_one_before_is_used_to_the_same_weights(damage, tmp_path):
    class Killed(Exception):
        pass

    def kill(epochs, net):
        if epochs > 3:
            raise Killed
        return True

    path = tmp_path / "training.ckpt"
    with contextlib.suppress(Killed):
        fitted(path, after_epoch=kill)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        with zipfile.ZipFile(path) as archive:
            largest = archive.read(max(archive.infolist(), key=lambda part: part.file_size))
        content[content.index(largest)] ^= 1
    path.write_bytes(content)
    heard, said = [], []
    resumed = fitted(path, after_epoch=lambda epochs, net: heard.append(epochs) or True, say=said.append)
    assert heard == [3, 4]
    assert any("training.ckpt' cannot be read" in line and "goes on from the one before" in line for line in said)
    assert same(resumed, fitted())
    assert Checkpoint.exists(path)
    Checkpoint.remove(path)
    assert not Checkpoint.exists(path)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_training_with_step_and_last_loss(loss, monkeypatch):
    from nni_earlyexit.training.joint_loss import JointLoss

    steps = []
    plain = JointLoss.loss

    def breaks(self, logits, y):
        steps.append(None)
        return plain(self, logits, y) * (loss if len(steps) == 9 else 1)

    monkeypatch.setattr(JointLoss, "loss", breaks)
    with pytest.raises(FloatingPointError, match=rf"the loss is {loss} at step 9, in epoch 2; the one before was \d"):
        fitted()


def test_a_time_limit_ends_the_training_with_what_it_has():
    heard = []
    fitted(epochs=100_000, time_limit=1.0, after_epoch=lambda epochs, net: heard.append(epochs) or True)
    assert 1 <= len(heard) < 100_000


@pytest.mark.parametrize("phase", [0, 1])
def test_a_time_limit_counts_what_was_trained_before_an_interruption(tmp_path, monkeypatch, phase):
    class Ends(Exception):
        pass

    allowed, path = [], tmp_path / "training.ckpt"

    def noted(recipe, time_limit, callbacks):
        allowed.append(time_limit)
        return trainer(recipe, time_limit, callbacks)

    def ends(epochs, net):
        if epochs == (2, 6)[phase]:
            raise Ends
        return True

    monkeypatch.setattr(fit_module, "trainer", noted)
    options = {"regime": "mixed", "epochs": 8, "time_limit": 1000.0}
    with pytest.raises(Ends):
        fitted(path, ends, **options)
    before = Checkpoint.read(path)
    assert before.seconds > before.began >= 0
    fitted(path, **options)
    first, again = allowed[: phase + 1], allowed[phase + 1 :]
    assert again[0] == first[-1], "Lightning counts the seconds of the phase that it went on with"
    assert (first + again)[-1] <= 1000 - before.began
    if phase == 0:
        assert again[1] <= 1000 - before.seconds


def test_epochs_that_a_time_limit_left_out_are_not_counted(tmp_path, monkeypatch):
    def short(recipe, time_limit, callbacks):
        return trainer(replace(recipe, epochs=1), math.inf, callbacks)  # as if the time of each phase were over then

    monkeypatch.setattr(fit_module, "trainer", short)
    heard, path = [], tmp_path / "training.ckpt"

    def after_epoch(epochs, net):
        heard.append(epochs)
        return True

    fitted(path, after_epoch, regime="mixed", epochs=8)
    assert heard == [1, 2]
    assert (Checkpoint.read(path).done, Checkpoint.read(path).epochs) == (1, 1)
    fitted(path, after_epoch, regime="mixed", epochs=8)  # it was over, but for what comes after a training
    assert heard == [1, 2, 2]


def test_the_average_is_what_is_judged_and_kept():
    judged = []
    net = fitted(averaging=0.9, after_epoch=lambda epochs, net: judged.append(copy.deepcopy(net)) or True)
    assert same(judged[-1], net)
    assert not same(net, fitted())


def test_a_plateau_is_reached_when_nothing_gets_better_for_a_while():
    plateau = Plateau(2)
    assert [plateau.reached(result) for result in (1, 2, 2, 3, 3, 1, 1)] == [
        False,
        False,
        False,
        False,
        False,
        True,
        True,
    ]
    assert not any(Plateau(None).reached(0) for _ in range(100))


def test_other_work_while_precisions_are_tried_decides_nothing():
    net, calls = network(), []

    def loss(logits):
        calls.append(logits[0].dtype)
        if len(calls) <= 6:  # the machine is busy for most of the steps
            time.sleep(0.05)
        return sum(exit.float().sum() for exit in logits)

    _, gain = choose_precision(net, task(8).train.x, loss)
    assert set(calls) == {torch.float32, torch.bfloat16}
    assert 0.1 < gain < 10  # 50 ms beside less than one would make it 50 and more


def test_a_training_lets_python_look_for_garbage_as_usual_in_which_its_weights_hang():
    garbage.search_as_usual()  # no other test may have trained before
    before = gc.get_threshold()
    garbage.search_less_often()
    assert gc.get_threshold() != before
    fitted()
    assert gc.get_threshold() == before


def test_where_bfloat16_is_hopeless_few_steps_are_lost_to_it():
    calls = []

    def loss(logits):
        calls.append(logits[0].dtype)
        time.sleep(0.5 if calls[-1] == torch.bfloat16 else 0.0)
        return sum(exit.float().sum() for exit in logits)

    chosen, gain = choose_precision(network(), task(8).train.x, loss)
    assert (chosen, calls) == ("float32", [torch.float32, torch.bfloat16] * 2)
    assert gain < 0.25


def test_the_faster_precision_is_chosen_without_changing_the_network():
    net, data = network(), task()
    before = copy.deepcopy(net)
    x, y = data.train.prepared(slice(16)), data.train.y[:16]
    chosen, gain = choose_precision(net, x, lambda logits: sum(cross_entropy(exit.float(), y) for exit in logits))
    assert chosen == ("bfloat16" if gain >= 1.1 else "float32")
    assert same(net, before)
    assert all(parameter.grad is None for parameter in net.parameters())
