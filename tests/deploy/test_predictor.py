"""An exported network answers as the trained one does, in PyTorch and in onnxruntime, however its inputs are batched."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from nni_earlyexit import EarlyExitNetwork, ThresholdOptimizer, search_spaces
from nni_earlyexit.deploy import EarlyExitPredictor, exported_segments
from nni_earlyexit.deploy.decision import Decision, can_decide
from nni_earlyexit.deploy.onnx_files import export_onnx
from nni_earlyexit.nn.preprocessing import Preprocessing
from nni_earlyexit.runtime import OnnxPredictor
from nni_earlyexit.runtime.onnx_predictor import NESTED
from nni_earlyexit.runtime.preparing import Preparation
from nni_earlyexit.runtime.routing import Timings
from nni_earlyexit.thresholds import confidence
from sklearn.datasets import load_digits
from torch._dynamo.utils import counters

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


def test_the_segments_say_what_the_network_says(trial, logits, images):
    network = EarlyExitNetwork.load(trial.folder).eval()
    with torch.no_grad():
        whole = network(network.preprocessing(torch.from_numpy(images)))
    np.testing.assert_allclose(logits, np.stack([own.numpy() for own in whole], axis=1), atol=1e-4)


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


@pytest.mark.parametrize(
    ("size", "measure"),
    [(1, "max_prob"), (1, "patience"), (1, "learned"), (2, "max_prob"), (7, "patience"), (64, "margin")],
)
def test_batches_change_nothing(predictor, mixed, learned, images, size, measure):
    predictor.policy = learned if measure == "learned" else mixed(measure)
    parts = [predictor(images[start : start + size]) for start in range(0, 128, size)]
    whole = predictor(images[: sum(len(part.classes) for part in parts)])
    for name in whole._fields:
        np.testing.assert_allclose(
            np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name), atol=1e-5
        )


@pytest.mark.parametrize("pays", [True, False])
def test_inputs_that_have_left_are_carried_along_where_that_is_faster_and_it_changes_nothing(
    predictor, mixed, logits, images, pays, monkeypatch
):
    predictor.policy = mixed()
    segments, sizes = predictor._router.segments, []
    seconds = np.full((segments.count, 2), 1.0)
    seconds[:, 1] = 1000.0 if pays else 1.0
    predictor._router.timings = Timings((1, 2000), seconds, np.full((segments.count, 2), 1e-3))
    run = segments.run
    monkeypatch.setattr(segments, "run", lambda k, x, with_exit: sizes.append(len(x)) or run(k, x, with_exit=with_exit))
    answers = predictor(images)
    equal(answers, predictor.policy, logits)
    reached = [int((answers.exits >= k).sum()) for k in range(3)]
    assert 2 * reached[1] > len(images) > reached[1]
    assert 2 * reached[2] < len(images)  # then they are always taken out
    assert sizes == [len(images), reached[1] if pays else len(images), reached[2]]


def test_what_is_measured_decides(predictor):
    predictor.measure(8)
    timings = predictor._router.timings
    assert timings.sizes == (1, 2, 4, 8)
    assert (timings.run > 0).all()
    assert timings.worth(1, 8, 2)  # half and less always
    costly = Timings(timings.sizes, timings.run, timings.take + 10.0)
    assert not costly.worth(1, 8, 7)


@pytest.mark.parametrize("none", [np.zeros((0, 1, 8, 8), np.float32), np.zeros((0, 8, 8, 1), np.uint8), []])
def test_no_inputs_no_answers(predictor, none):
    answers = predictor(none)
    assert [len(own) for own in answers] == [0, 0, 0, 0]
    assert answers.probabilities.shape == (0, 10)
    assert predictor.watch.shift(predictor.policy).inputs == 0


def test_sentences_are_the_tokens_that_the_network_learned_from():
    words = Preprocessing((4,), vocabulary=("good", "film"))
    prepare = Preparation(words.to_dict())
    for sentences in ("A good FILM", ["film", "", "good good good good good film"], ("bad film",)):
        np.testing.assert_array_equal(prepare(sentences), words.inputs(sentences).numpy())
    assert prepare([]).shape == (0, 4)
    with pytest.raises(ValueError, match="inputs: sentences are not possible; the network takes arrays"):
        Preparation(Preprocessing((1, 8, 8), (0.5,), (0.5,)).to_dict())("a good film")


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


@pytest.mark.filterwarnings("ignore::nni_earlyexit.runtime.watch.ShiftWarning")
def test_threads_that_share_one_have_each_input_counted_once(predictor, images):
    single = predictor(images)
    before = predictor.watch.shift(predictor.policy)
    wrong = []

    def ask(first):
        for start in range(first, first + 40):
            answers = predictor(images[start : start + 1 + start % 3])
            wrong.extend([] if (answers.exits == single.exits[start : start + 1 + start % 3]).all() else [start])

    threads = [threading.Thread(target=ask, args=(200 * k,)) for k in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # they interrupt each other all the time
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    asked = np.concatenate(
        [single.exits[start : start + 1 + start % 3] for k in range(8) for start in range(200 * k, 200 * k + 40)]
    )
    after = predictor.watch.shift(predictor.policy)
    counts = np.array(after.seen) * after.inputs - np.array(before.seen) * before.inputs
    assert not wrong
    np.testing.assert_allclose(counts, np.bincount(asked, minlength=3), atol=1e-6)


def test_bfloat16_answers_nearly_the_same(bundle, images):
    exact, rough = (EarlyExitPredictor(bundle, device="cpu", numbers=n)(images) for n in ("float32", "bfloat16"))
    assert (exact.classes == rough.classes).mean() > 0.97
    assert np.abs(exact.probabilities - rough.probabilities).max() > 1e-3  # it does compute in bfloat16


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="torch.compile needs a C++ compiler")
def test_compiled_it_answers_the_same_and_shrinking_batches_do_not_compile_again(bundle, mixed, logits, images):
    predictor = EarlyExitPredictor.load(bundle.folder, device="cpu", compile=True)
    plain = EarlyExitPredictor(bundle, device="cpu")
    plain.policy = predictor.policy = mixed()
    before, wrong = counters["stats"]["unique_graphs"], []

    def ask(first):
        for size in (64, *range(2, 40), 1):
            own, other = plain(images[first : first + size]), predictor(images[first : first + size])
            close = np.abs(own.probabilities - other.probabilities).max() < 1e-4
            wrong.extend([] if close and (own.exits == other.exits).all() else [(first, size)])

    # no part may share its few variants with the others: where they are used up, it would compile no more
    with torch._dynamo.config.patch(recompile_limit=4, fail_on_recompile_limit_hit=True):
        equal(predictor(images), predictor.policy, logits)
        for first in range(0, 1500, 300):
            ask(first)
    # for a CPU, PyTorch tells one input, up to 15 and more apart, in each of 3 segments and 3 branches
    assert 12 <= counters["stats"]["unique_graphs"] - before <= 18
    threads = [threading.Thread(target=ask, args=(first,)) for first in range(100, 1600, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert counters["stats"]["unique_graphs"] - before <= 18


def text_network():
    space = search_spaces.create("text", tokens=8, vocabulary=50, channels=16)
    return all_exits(space, Preprocessing(space.input_shape, vocabulary=("good", "film")))


def timm_network():
    space = search_spaces.create("timm:test_resnet")
    return all_exits(space, Preprocessing(space.input_shape, (0.5, 0.4, 0.3), (0.3, 0.3, 0.2), pixels=True))


def all_exits(space, preprocessing):
    sample, _ = space.cheapest(exit=-1)
    sample = space.canonical({**sample, **{name: "yes" for name in sample if name.endswith("_present")}})
    network = space.freeze(sample).eval()
    network.preprocessing = preprocessing
    return network


@pytest.mark.parametrize("kind", ["digits", "text", "timm"])
def test_segments_are_programs_for_any_number_of_inputs(trial, tmp_path, kind):
    network = {"text": text_network, "timm": timm_network}.get(
        kind, lambda: EarlyExitNetwork.load(trial.folder)
    )().eval()
    programs = exported_segments(network)
    assert len(programs) == len(network.exit_stages) > 2
    for k, program in enumerate(programs):
        torch.export.save(program, tmp_path / f"{k}.pt2")
    again = [torch.export.load(tmp_path / f"{k}.pt2").module() for k in range(len(programs))]
    for size in (1, 2, 17):
        shape = (size, *network.input_shape)
        x = torch.randint(0, 4, shape) if kind == "text" else torch.rand(shape)
        with torch.no_grad():
            whole = network(network.preprocessing(x))
            for segment, expected in zip(again, whole, strict=True):
                x, *_, logits = segment(x) if segment is not again[-1] else (None, *segment(x))
                torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_a_network_that_does_not_say_how_inputs_are_prepared_is_not_exported(network):
    with pytest.raises(ValueError, match="network: it does not say how its inputs are prepared"):
        exported_segments(network)


def test_int8_has_cutoffs_and_figures_of_its_own(bundle, images):
    predictor = OnnxPredictor(bundle, threads=1, numbers="int8")
    assert predictor.policy == bundle.fit("int8").policy != bundle.policy
    labels = load_digits().target
    assert (predictor(images).classes == labels).mean() == pytest.approx(
        (OnnxPredictor(bundle, threads=1)(images).classes == labels).mean(), abs=0.03
    )


SHORT = ("max_prob", "patience", "dropped")
"""A measure of one exit's logits, one of several exits', and a network of which a part is left out."""


def one_by_one(file, images):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    answers = [session.run(["logits", "exit"], {"inputs": images[place : place + 1]}) for place in range(len(images))]
    return np.concatenate([own for own, _ in answers]), np.concatenate([exit for _, exit in answers])


@pytest.mark.parametrize(
    "measure",
    [
        pytest.param(measure, marks=[] if measure in SHORT else [pytest.mark.long])
        for measure in (*MEASURES, "learned", "temperatures", "dropped")
    ],
)
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


@pytest.mark.parametrize("name", ["my_measure", "margin"])
def test_a_measure_of_ones_own_has_segments_only_whatever_its_name(trial, mixed, tmp_path, monkeypatch, name):
    assert can_decide(mixed("margin"))
    monkeypatch.setitem(confidence.MEASURES, name, lambda logits: logits.max(axis=-1))
    policy = replace(mixed(), confidence=name)
    with pytest.raises(ValueError, match=f"confidence: '{name}' is a measure of your own, which cannot be made layers"):
        Decision(policy, 0)
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
