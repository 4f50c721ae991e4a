"""An exported network answers as the trained one does, in PyTorch and in onnxruntime, however its inputs are batched."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from nni_earlyexit import EarlyExitNetwork, ThresholdOptimizer
from nni_earlyexit.deploy import EarlyExitPredictor
from nni_earlyexit.deploy.onnx_files import export_onnx
from nni_earlyexit.runtime import OnnxPredictor
from nni_earlyexit.runtime.onnx_predictor import NESTED
from nni_earlyexit.runtime.routing import Timings
from sklearn.datasets import load_digits

MEASURES = ("max_prob", "entropy", "margin", "energy", "patience")
NEAR = 1e-5
"""Confidences so near to a cutoff that rounding may decide."""


@pytest.fixture(params=["torch", "onnx"])
def predictor(request, bundle):
    return EarlyExitPredictor(bundle, device="cpu") if request.param == "torch" else OnnxPredictor(bundle, threads=1)


def without_first(policy):
    return replace(policy, cutoffs=(np.inf, *policy.cutoffs[1:]))


def equal(prediction, policy, logits):
    """The answers are those of running all exits, but where a confidence lies at its cutoff."""
    exits = policy.exits(logits)
    clear = (np.abs(policy.confidences(logits) - np.array(policy.cutoffs)[list(policy.kept[:-1])]) > NEAR).all(axis=1)
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(prediction.exits[clear], exits[clear])
    own = logits[np.arange(len(logits)), exits]
    probabilities = torch.from_numpy(own).softmax(dim=-1).numpy()
    np.testing.assert_allclose(prediction.probabilities[clear], probabilities[clear], atol=1e-4)
    np.testing.assert_array_equal(prediction.classes[clear], own.argmax(axis=-1)[clear])


@pytest.mark.parametrize("measure", MEASURES)
def test_its_answers_are_those_of_running_all_exits(predictor, mixed, logits, images, measure):
    predictor.policy = mixed(measure)
    equal(predictor(images), predictor.policy, logits)


def test_every_exit_takes_some(mixed, logits):
    assert (np.bincount(mixed().exits(logits), minlength=3) > 100).all()


def test_temperatures_are_heeded(predictor, mixed, logits, images):
    predictor.policy = mixed(temperatures=(0.5, 2.0, 1.0))
    equal(predictor(images), predictor.policy, logits)


@pytest.fixture(scope="session")
def learned(bundle, logits):
    labels = load_digits().target
    own = bundle.architecture
    optimizer = ThresholdOptimizer(confidence="learned", max_cost=0.75 * own.exit_costs[-1])
    return optimizer.fit(logits, labels, own.exit_costs, branch_costs=own.branch_costs).policy_


def test_learned_confidence_is_heeded(predictor, learned, logits, images):
    predictor.policy = learned
    equal(predictor(images), learned, logits)


def test_a_dropped_exit_is_neither_run_nor_paid(predictor, bundle, mixed, logits, images):
    predictor.policy = without_first(mixed())
    answers = predictor(images)
    equal(answers, predictor.policy, logits)
    own = bundle.architecture
    assert answers.macs.min() == own.exit_costs[1] - own.branch_costs[0]


def test_macs_are_those_of_the_exits_taken(predictor, bundle, mixed, images):
    predictor.policy = mixed()
    answers = predictor(images)
    np.testing.assert_array_equal(answers.macs, np.array(bundle.architecture.exit_costs)[answers.exits])


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_batches_change_nothing(predictor, mixed, logits, images, size):
    predictor.policy = mixed()
    parts = [predictor(images[start : start + size]) for start in range(0, 128, size)]
    whole = predictor(images[: sum(len(part.classes) for part in parts)])
    for name in whole._fields:
        np.testing.assert_allclose(
            np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name), atol=1e-5
        )


@pytest.mark.parametrize("pays", [True, False])
def test_carrying_along_changes_nothing(predictor, mixed, logits, images, pays):
    predictor.policy = mixed()
    count = predictor._router.segments.count
    seconds = np.full((count, 2), 1.0)
    seconds[:, 1] = 1000.0 if pays else 1.0
    predictor._router.timings = Timings((1, 2000), seconds, np.full((count, 2), 1e-3))
    equal(predictor(images), predictor.policy, logits)


def test_what_is_measured_decides(predictor):
    predictor.measure(8)
    timings = predictor._router.timings
    assert timings.sizes == (1, 2, 4, 8)
    assert (timings.run > 0).all()
    assert timings.worth(1, 8, 2)  # half and less always
    costly = Timings(timings.sizes, timings.run, timings.take + 10.0)
    assert not costly.worth(1, 8, 7)


def test_no_inputs_no_answers(predictor):
    assert len(predictor(np.zeros((0, 1, 8, 8), np.float32)).exits) == 0


@pytest.mark.parametrize("form", ["one", "without channels", "channels last", "batch without channels"])
def test_images_come_in_many_forms(predictor, images, form):
    whole = predictor(images[:4])
    x = {
        "one": images[0],
        "without channels": images[0, 0],
        "channels last": images[:4].transpose(0, 2, 3, 1),
        "batch without channels": images[:4, 0],
    }[form]
    answers = predictor(x)
    np.testing.assert_array_equal(answers.classes, whole.classes[: len(answers.classes)])


def test_what_cannot_be_an_input_is_said(predictor):
    with pytest.raises(ValueError, match="inputs: shape .* is not possible; images of 1, 8, 8 are"):
        predictor(np.zeros((2, 3, 3, 8, 8), np.float32))


def test_another_policy_must_fit(predictor, images):
    predictor.policy = replace(predictor.policy, cutoffs=(0.5, -np.inf))
    with pytest.raises(ValueError, match="policy: it has 2 cutoffs, this network has 3 exits"):
        predictor(images[:2])


def test_threads_share_one_while_budgets_change(predictor, bundle, mixed, logits, images):
    policies = [mixed(shares=shares) for shares in ((0.1, 0.2), (0.5, 0.2), (0.0, 0.9))]
    allowed = {tuple(policy.exits(logits)[:64]) for policy in policies}
    wrong = []
    predictor.policy = policies[0]

    def ask():
        for _ in range(20):
            try:
                exits = tuple(predictor(images[:64]).exits)
            except Exception as error:
                wrong.append(error)
            else:
                wrong.extend([] if exits in allowed else [exits])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for policy in policies:
            predictor.policy = policy
    for thread in threads:
        thread.join()
    assert not wrong


def test_bfloat16_answers_nearly_the_same(bundle, images):
    exact, rough = (EarlyExitPredictor(bundle, device="cpu", numbers=n)(images) for n in ("float32", "bfloat16"))
    assert (exact.classes == rough.classes).mean() > 0.97


def test_int8_has_cutoffs_and_figures_of_its_own(bundle, images):
    predictor = OnnxPredictor(bundle, threads=1, numbers="int8")
    assert predictor.policy == bundle.fit("int8").policy != bundle.policy
    labels = load_digits().target
    assert (predictor(images).classes == labels).mean() == pytest.approx(
        (OnnxPredictor(bundle, threads=1)(images).classes == labels).mean(), abs=0.03
    )


def one_by_one(file, images):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    answers = [session.run(["logits", "exit"], {"inputs": images[place : place + 1]}) for place in range(len(images))]
    return np.concatenate([own for own, _ in answers]), np.concatenate([exit for _, exit in answers])


@pytest.mark.parametrize("measure", [*MEASURES, "learned", "temperatures", "dropped"])
def test_one_file_leaves_early_by_itself(trial, mixed, learned, logits, images, tmp_path, measure):
    network = EarlyExitNetwork.load(trial.folder)
    policy = {
        "learned": learned,
        "temperatures": mixed(temperatures=(0.5, 2.0, 1.0)),
        "dropped": without_first(mixed()),
    }.get(measure) or mixed(measure)
    export_onnx(network, policy, tmp_path)
    answers, exits = one_by_one(tmp_path / NESTED, images[:300])
    expected = policy.exits(logits[:300])
    near = (np.abs(policy.confidences(logits[:300]) - np.array(policy.cutoffs)[list(policy.kept[:-1])]) < NEAR).any(
        axis=1
    )
    np.testing.assert_array_equal(exits[~near], expected[~near])
    np.testing.assert_allclose(answers[~near], logits[np.arange(300), expected][~near], atol=1e-4)


def test_a_measure_of_ones_own_has_segments_only(trial, mixed, tmp_path, monkeypatch):
    from nni_earlyexit.thresholds import confidence

    monkeypatch.setitem(confidence.MEASURES, "my_measure", lambda logits: logits.max(axis=-1))
    policy = replace(mixed(), confidence="my_measure")
    names = export_onnx(EarlyExitNetwork.load(trial.folder), policy, tmp_path)
    assert names == [f"onnx/segment{segment}.onnx" for segment in range(3)]


def test_the_runtime_needs_neither_torch_nor_nni(bundle_folder, images, tmp_path):
    np.save(tmp_path / "images.npy", images[:8])
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] in ('torch', 'nni', 'timm', 'sklearn', 'pymoo', 'scipy'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import numpy\n"
        "from nni_earlyexit.runtime import OnnxPredictor\n"
        f"p = OnnxPredictor.load({str(bundle_folder)!r}, threads=1)\n"
        "p.policy = p.bundle.policy_at(tolerance=0.1)\n"
        f"print(*p(numpy.load({str(tmp_path / 'images.npy')!r})).classes)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 8
