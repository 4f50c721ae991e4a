from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from nni_earlyexit import data, search_spaces
from nni_earlyexit.deploy import load_network
from nni_earlyexit.deploy.bench import _used, bench, predicted
from nni_earlyexit.deploy.export import test_data as inputs_of
from nni_earlyexit.deploy.folding import folded
from nni_earlyexit.deploy.static_peer import static_peer
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.report import bench_report
from nni_earlyexit.runtime.bundle import manifest_of
from nni_earlyexit.space.latency_table import LatencyTable
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.files import checksum
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

NEVER, ALWAYS, DROPPED = 2.0, 0.0, np.inf
"""Cutoffs of a probability."""


def under(bundle, *cutoffs):
    """The bundle with a policy of these cutoffs, whatever numbers it computes with."""
    policy = ExitPolicy((*cutoffs, -np.inf))
    return replace(bundle, fits={numbers: replace(own, policy=policy) for numbers, own in bundle.fits.items()})


def in_torch(bundle):
    """The bundle without what is for onnxruntime."""
    return replace(bundle, checksums={name: sha for name, sha in bundle.checksums.items() if "onnx" not in name})


def macs(module, x):
    """MACs of a module for the batch ``x``, as torch counts them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(x)
    return counter.get_total_flops() // 2


def test_energy_is_that_of_all_processors_also_where_a_counter_starts_again():
    assert _used([(100.0, 250.0), (5.0, 250.0)], [(130.0, 250.0), (6.0, 250.0)]) == pytest.approx(31)
    assert _used([(240.0, 250.0)], [(20.0, 250.0)]) == pytest.approx(30)
    assert _used([], []) is None


@pytest.fixture(scope="module")
def labels():
    return load_digits().target


@pytest.fixture(scope="module")
def rows(bundle, images, labels):
    return bench(bundle, images[:64], labels[:64], (1, 16))


def test_every_engine_is_measured_with_every_batch_size(rows):
    engines = ["PyTorch", "onnxruntime", "onnxruntime int8"]
    assert [(row.engine, row.batch_size) for row in rows] == [(engine, size) for engine in engines for size in (1, 16)]
    assert all(0 < way.p50 <= way.p95 <= way.p99 for row in rows for way in (row.exits, row.static))


def test_accuracies_are_those_of_the_network_on_the_same_images(rows, bundle, images, labels):
    network = load_network(bundle)
    routed = network.predict((images[:64] * 255).round().astype(np.uint8)).classes.numpy()
    alone = network.predict((images[:64] * 255).round().astype(np.uint8), ExitPolicy((np.inf, np.inf, -np.inf)))
    for row in rows[:4]:
        assert row.exits.accuracy == (routed == labels[:64]).mean()
        assert row.static.accuracy == (alone.classes.numpy() == labels[:64]).mean()


def test_inputs_that_leave_at_once_are_faster_than_the_whole_network_and_branches_that_none_leaves_at_make_it_slower(
    bundle, images, labels
):
    x, y = np.tile(images, (2, 1, 1, 1))[:3200], np.tile(labels, 2)[:3200]
    (early,), (late,) = (bench(in_torch(under(bundle, cutoff, cutoff)), x, y, (200,)) for cutoff in (ALWAYS, NEVER))
    assert early.exits.p50 < early.static.p50  # these two in turn; ``late`` is measured at another time
    assert early.speedup > late.speedup


@pytest.mark.parametrize(
    ("cutoffs", "run"),
    [
        ((ALWAYS, NEVER), ["segment0", "branch0"]),
        ((DROPPED, ALWAYS), ["segment0", "segment1", "branch1"]),
        ((NEVER, NEVER), ["segment0", "branch0", "segment1", "branch1", "segment2", "branch2"]),
        ((DROPPED, DROPPED), ["segment0", "segment1", "segment2", "branch2"]),
    ],
)
def test_macs_promise_the_ratio_of_what_is_run(bundle, images, labels, cutoffs, run):
    network = load_network(bundle)
    x, cost = torch.zeros(1, *network.input_shape), {}
    places = [0, *(stage + 1 for stage in network.exit_stages)]
    for segment, (start, end) in enumerate(pairwise(places)):
        body = nn.Sequential(*([network.stem] if segment == 0 else []), *network.stages[start:end])
        branch = network.exits[str(end - 1)]
        cost[f"segment{segment}"] = macs(body, x)
        with torch.no_grad():
            x = body(x)
        cost[f"branch{segment}"] = macs(branch, x)
    whole = sum(cost[name] for name in ("segment0", "segment1", "segment2", "branch2"))
    (row,) = bench(in_torch(under(bundle, *cutoffs)), images[:8], labels[:8], (1,))
    assert row.promise == pytest.approx(whole / sum(cost[name] for name in run))
    left = int(run[-1][-1])
    assert [not np.isnan(seconds) for seconds in row.by_exit] == [exit == left for exit in range(3)]
    assert [seconds is not None for seconds in json.loads(json.dumps(row.to_dict()))["by_exit"]] == [
        exit == left for exit in range(3)
    ]


# --- a static network of equal accuracy


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, trial, trained_digits, digits_space, two_exits):
    """Two networks of one search, and one that saw other data."""
    folder = tmp_path_factory.mktemp("search")
    trials = folder / "environments" / "local-env" / "trials"
    shutil.copytree(trial.folder, trials / "three")
    shutil.copytree(trained_digits, trials / "two")
    other = Settings.from_options(epochs=1, threads=1, tensorboard=False, seed=1)
    train_one(digits_space, two_exits, other, trials / "other", lambda line: None)
    return folder


@pytest.fixture(scope="module")
def alone(experiment, trial):
    """MACs and calibration accuracy of each network cut off at each exit, run for it."""
    task = data.load_settings(trial.settings.data, trial.settings.training.seed)
    values = {}
    for name in ("three", "two"):
        network = record.load(experiment / "environments/local-env/trials" / name).network()
        for exit in range(len(network.exit_stages)):
            cut = network.keep([exit])
            right = exit_logits(cut, task.calibration.parts())[:, 0].argmax(axis=-1) == task.calibration.y.numpy()
            values[name, exit] = cut.exit_costs[0], float(right.mean())
    return values


def test_the_peer_is_the_cheapest_network_without_exits_that_is_as_accurate_on_the_same_data(bundle, experiment, alone):
    family = bundle.fit().family
    stored = np.load(experiment / "environments/local-env/trials/three/outputs.npz")
    winners = set()
    for point in [family.front[place] for place in np.linspace(0, len(family.front) - 1, 12).astype(int)]:
        policy = family.policy_of(point)
        fits = {"float32": replace(bundle.fit(), policy=policy)}
        peer = static_peer(replace(bundle, fits=fits), str(experiment))
        own = float((policy.predict(stored["calibration_logits"]) == stored["calibration_labels"]).mean())
        enough = {key: cost for key, (cost, accuracy) in alone.items() if accuracy >= own}
        if not enough:
            assert peer is None
            continue
        assert peer.candidates == len(alone)
        assert peer.static.macs == min(enough.values())
        assert (peer.static.accuracies["calibration"], peer.bundle_accuracies["calibration"]) == (
            alone[peer.static.trial.folder.name, peer.static.exit][1],
            own,
        )
        assert (
            alone[peer.static.trial.folder.name, peer.static.exit][0]
            == peer.static.macs
            == peer.network().exit_costs[-1]
        )
        winners.add(peer.static.macs)
    assert len(winners) > 1


def test_exits_that_are_right_together_where_each_alone_is_wrong_have_no_peer(bundle, trial, mixed, tmp_path):
    folder = tmp_path / "trial"
    shutil.copytree(trial.folder, folder)
    arrays = dict(np.load(folder / "outputs.npz"))
    policy = mixed()
    for split in ("calibration", "validation"):
        arrays[f"{split}_labels"] = policy.predict(arrays[f"{split}_logits"])
    np.savez(folder / "outputs.npz", **arrays)
    summary = json.loads((folder / "trial.json").read_text())
    summary["checksums"]["outputs.npz"] = checksum(folder / "outputs.npz")
    (folder / "trial.json").write_text(json.dumps(summary))
    said = []
    assert static_peer(under(bundle, *policy.cutoffs[:-1]), str(folder), said.append) is None
    (sentence,) = said
    assert sentence.startswith(
        "no static network of equal accuracy: the bundle has 100.00% on the calibration split, the best"
    )


def test_an_experiment_that_the_bundle_is_not_from_is_refused(bundle, trained_digits):
    with pytest.raises(ValueError, match="experiment: the bundle's network is none of the 1 trained ones"):
        static_peer(bundle, str(trained_digits))
    with pytest.raises(ValueError, match="experiment: 'nowhere' is unknown"):
        static_peer(bundle, "nowhere")


def test_a_damaged_twin_of_the_source_is_in_nobodys_way(bundle, experiment, tmp_path):
    folder = tmp_path / "search"
    shutil.copytree(experiment, folder)
    trials = folder / "environments/local-env/trials"
    shutil.copytree(trials / "three", trials / "aaa")  # before it was trained again
    for name in ("aaa", "two"):
        weights = trials / name / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
    said = []
    peer = static_peer(under(bundle, ALWAYS, ALWAYS), str(folder), said.append)
    assert peer.static.trial.folder.name == "three"
    assert peer.network().exit_costs[-1] == peer.static.macs


def test_a_trial_whose_outputs_are_damaged_is_named_and_left_out(bundle, experiment, tmp_path):
    folder = tmp_path / "search"
    shutil.copytree(experiment, folder)
    outputs = folder / "environments/local-env/trials/two/outputs.npz"
    outputs.write_bytes(outputs.read_bytes()[:-1])
    said = []
    peer = static_peer(under(bundle, ALWAYS, ALWAYS), str(folder), said.append)
    assert peer.candidates == 3
    assert said[0].startswith("left out two: ")


# --- seconds by a latency table


@pytest.fixture(scope="module")
def table_of_digits(digits_space, table_of_macs):
    return table_of_macs(digits_space)


@pytest.mark.parametrize("cutoffs", [(0.5, 0.5), (DROPPED, 0.5), (0.5, DROPPED), (NEVER, NEVER)])
def test_seconds_that_are_macs_predict_what_macs_promise(bundle, images, labels, table_of_digits, cutoffs):
    own = under(bundle, *cutoffs)
    single, many = bench(in_torch(own), images[:64], labels[:64], (1, 16), latency_table=table_of_digits)
    assert single.predicted.speedup == pytest.approx(single.promise)
    assert single.predicted.static_seconds == pytest.approx(own.architecture.static_macs * 1e-9)
    assert many.predicted is None
    assert "predicted" in bench_report.table([single, many])


def test_branches_that_the_bundle_does_not_have_take_no_time(bundle, digits_space, table_of_digits):
    table = LatencyTable.load(table_of_digits)
    own = bundle.architecture
    smaller = replace(own, kept=(1, 2), exit_costs=own.exit_costs[1:], branch_costs=own.branch_costs[1:])
    fits = {"float32": replace(bundle.fit(), policy=ExitPolicy((0.5, -np.inf)))}
    at_last = predicted(replace(bundle, architecture=smaller, fits=fits), table, np.array([1, 1]))
    assert at_last.seconds == pytest.approx((own.exit_costs[-1] - own.branch_costs[0]) * 1e-9)


def test_a_table_of_other_threads_and_one_that_is_not_there_are_refused(bundle, images, labels, table_of_digits):
    with pytest.raises(FileNotFoundError, match=r"latency_table: there is no file 'none.json'"):
        bench(bundle, images[:8], labels[:8], (1,), latency_table=Path("none.json"))
    with pytest.raises(ValueError, match="1 at a time, 1 threads and float32; that is not measured here"):
        bench(bundle, images[:8], labels[:8], (1,), 2, latency_table=table_of_digits)


# --- the command


def test_the_command_measures_beside_the_peer_and_the_table(
    bundle_folder, bundle, experiment, table_of_digits, tmp_path, call
):
    own = tmp_path / "bundle"
    shutil.copytree(bundle_folder, own)
    content = json.loads((own / "policy.json").read_text())
    for fitted in content.values():
        fitted["policy"]["cutoffs"] = [ALWAYS, ALWAYS, None]
    (own / "policy.json").write_text(json.dumps(content))
    manifest = json.loads((own / "manifest.json").read_text())
    (own / "manifest.json").write_text(json.dumps(manifest_of(own, list(manifest["files"]))))
    words = ["--experiment", experiment, "--latency-table", table_of_digits, "--inputs", 32, "--batch-sizes", "1,4"]
    code, out, errors = call("bench", own, *words, "--results", tmp_path)
    assert code == 0, errors
    result = json.loads((tmp_path / "bench.json").read_text())
    assert len(result["rows"]) == 6
    assert result["static_peer"]["macs"] <= bundle.architecture.exit_costs[0]
    assert all(row["peer"]["p50"] > 0 and row["peer_speedup"] > 0 for row in result["rows"])
    assert [row["predicted"] is None for row in result["rows"]] == [False, *[True] * 5]
    for sentence in (
        "static network of equal accuracy: trial ",
        "equal static ms",
        "mean ms of 1 at a time in PyTorch",
    ):
        assert sentence in out
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--batch-sizes", "1,many"], "batch_sizes: '1,many' is not possible; numbers from 1, such as 1,8,64, are"),
        (["--batch-sizes", "64", "--inputs", "8"], "batch_sizes: 64 is not possible with 8 test inputs"),
        (["--inputs", "0"], "inputs: '0' is not possible"),
    ],
)
def test_bad_input_ends_with_one_sentence(bundle_folder, tmp_path, words, sentence, call):
    code, _, errors = call("bench", bundle_folder, *words, "--results", tmp_path / "r")
    assert code == 2
    assert sentence in errors
    assert not (tmp_path / "r").exists()


def test_inputs_are_of_the_test_split_with_their_classes(bundle, trial):
    x, y = inputs_of(bundle, trial.settings.data, 20)
    task = data.load_settings(trial.settings.data, trial.settings.training.seed)
    places = [
        int((task.test.raw(slice(None)).numpy().reshape(len(task.test), -1) == own.ravel()).all(axis=1).argmax())
        for own in x
    ]
    assert places == sorted(places)
    assert places[0] == 0
    assert places[-1] == len(task.test) - 1
    assert (task.test.y.numpy()[places] == y).all()


@pytest.mark.parametrize("name", ["digits", "resnet", "mobilenetv3", "mobilenetv4"])
def test_folding_changes_nothing_and_leaves_no_normalisation_behind_a_convolution(name, rng):
    space = search_spaces.create(name)
    network = space.freeze(space.sample(rng)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics as after a training
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    body = nn.Sequential(network.stem, *network.stages)
    x = torch.rand(2, *network.input_shape)
    fast = folded(body, x)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), body(x), rtol=1e-3, atol=1e-4)
    left = [module for module in fast.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(left) <= sum(isinstance(module, nn.BatchNorm2d) for module in body.modules()) // 4


def test_an_activation_in_place_is_no_part_of_a_convolution():
    for seed in range(20):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.BatchNorm2d(4)).eval()
        nn.init.uniform_(module[2].running_mean)
        x = torch.randn(2, 3, 4, 4)
        fast = folded(module, torch.zeros(2, 3, 4, 4))
        assert isinstance(fast[2], nn.BatchNorm2d)
        with torch.no_grad():
            torch.testing.assert_close(fast(x.clone()), module(x.clone()))


def test_a_convolution_that_is_used_twice_keeps_its_normalisations():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.first, self.second = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.first(self.conv(x)) + self.second(self.conv(x * 2))

    module = Shared().eval()
    nn.init.uniform_(module.first.running_mean)
    x = torch.rand(2, 3, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(folded(module, x)(x), module(x))


def test_another_test_split_than_that_of_the_training_is_refused(bundle, trial):
    with pytest.raises(
        ValueError, match="^data: the test split of 'digits' has .*; give the options of data and splits that"
    ):
        inputs_of(bundle, replace(trial.settings.data, test_share=0.1), 20)
