from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from nni_earlyexit import search_spaces
from nni_earlyexit.deploy.bench import bench
from nni_earlyexit.deploy.folding import folded
from nni_earlyexit.report import bench_report
from torch import nn


@pytest.fixture(scope="module")
def rows(bundle, images):
    return bench(bundle, images[:64], (1, 16))


def test_every_engine_is_measured_with_every_batch_size(rows):
    engines = ["PyTorch", "onnxruntime", "onnxruntime int8"]
    assert [(row.engine, row.batch_size) for row in rows] == [(engine, size) for engine in engines for size in (1, 16)]
    assert all(0 < row.seconds <= row.p95 <= row.p99 for row in rows)


def test_what_macs_promise_is_counted_on_the_inputs_themselves(rows, bundle, images):
    from nni_earlyexit.deploy import EarlyExitPredictor

    own = bundle.architecture
    macs = EarlyExitPredictor(bundle, device="cpu")(images[:64]).macs.mean()
    whole = own.exit_costs[-1] - sum(own.branch_costs[:-1])
    assert rows[0].promise == pytest.approx(whole / macs)
    assert rows[0].kept == rows[0].speedup / rows[0].promise


def test_an_exit_that_none_left_at_has_no_time(rows):
    assert len(rows[0].by_exit) == 3
    assert json.loads(json.dumps(rows[0].to_dict()))["by_exit"] == [
        None if np.isnan(seconds) else seconds for seconds in rows[0].by_exit
    ]


def test_the_table_and_the_picture(rows, tmp_path):
    assert "onnxruntime int8" in bench_report.table(rows)
    bench_report.draw(rows, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_the_command(bundle_folder, tmp_path):
    words = ["bench", str(bundle_folder), "--inputs", "32", "--batch-sizes", "1,4", "--results", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "nni_earlyexit.cli", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "bench.json").read_text())) == 6


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--batch-sizes", "1,many"], "batch_sizes: '1,many' is not possible; numbers from 1, such as 1,8,64, are"),
        (["--batch-sizes", "64", "--inputs", "8"], "batch_sizes: 64 is not possible with 8 test inputs"),
        (["--inputs", "0"], "inputs: 0 is not possible"),
    ],
)
def test_bad_input_ends_with_one_sentence(bundle_folder, tmp_path, words, sentence):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "nni_earlyexit.cli",
            "bench",
            str(bundle_folder),
            *words,
            "--results",
            str(tmp_path / "r"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "r").exists()


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
