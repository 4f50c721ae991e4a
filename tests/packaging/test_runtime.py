"""The small distribution runs an exported network where there is neither torch nor NNI."""

from __future__ import annotations

import subprocess
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from nni_earlyexit.deploy import export
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.runtime import OnnxPredictor
from nni_earlyexit.runtime.distribution import build
from nni_earlyexit.training.settings import Settings

NEEDED = ("numpy", "onnxruntime", "lazy_loader")
"""What it asks pip for; onnxruntime's own needs are for its tools, but for flatbuffers and packaging."""

RUN = """
import sys, numpy
from nni_earlyexit.runtime import OnnxPredictor
predictor = OnnxPredictor.load(sys.argv[1], threads=1)
print(*predictor(numpy.load(sys.argv[2])).classes)
assert not {"torch", "nni", "timm", "sklearn", "scipy"} & set(sys.modules)
"""


@pytest.mark.slow
def test_its_wheel_alone_answers(tmp_path, digits_space, two_exits):
    train_one(
        digits_space, two_exits, Settings.from_options(epochs=1, tensorboard=False), tmp_path / "net", lambda line: None
    )
    trial = record.load(tmp_path / "net")
    export(trial, tmp_path / "bundle", keep_exits=True, onnx=True)
    images = np.random.default_rng(0).random((6, 1, 8, 8), dtype=np.float32)
    np.save(tmp_path / "images.npy", images)

    wheel = build(tmp_path / "dist")
    assert wheel.stat().st_size < 100_000
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    (place,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    for name in NEEDED:
        source = Path(find_spec(name).origin).parent
        (place / name).symlink_to(source)
        for beside in source.parent.glob(f"{name}.libs"):
            (place / beside.name).symlink_to(beside)
    done = subprocess.run(
        [str(python), "-c", RUN, str(tmp_path / "bundle"), str(tmp_path / "images.npy")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    expected = OnnxPredictor.load(tmp_path / "bundle", threads=1)(images).classes
    assert [int(word) for word in done.stdout.split()] == expected.tolist()
