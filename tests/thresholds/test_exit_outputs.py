from __future__ import annotations

import pickle

import numpy as np
import pytest
from nni_earlyexit.thresholds import exit_outputs, outputs_file


@pytest.fixture
def arrays():
    return {"calibration_logits": np.zeros((5, 2, 3)), "calibration_labels": np.zeros(5, int), "exit_costs": [1, 2]}


def test_a_file_holds_sets_of_inputs_by_name(tmp_path, arrays):
    np.savez(tmp_path / "o.npz", **arrays, test_logits=np.ones((4, 2, 3)), test_labels=np.ones(4), other_logits=[1])
    found = outputs_file.load(tmp_path / "o.npz")
    assert sorted(found.logits) == sorted(found.labels) == ["calibration", "test"]
    assert found.logits["test"].shape == (4, 2, 3)
    assert found.branch_costs is None


@pytest.mark.parametrize("missing", ["calibration_logits", "calibration_labels", "exit_costs"])
def test_a_file_that_lacks_an_array_is_refused_with_what_it_holds(tmp_path, arrays, missing):
    del arrays[missing]
    np.savez(tmp_path / "o.npz", **arrays)
    with pytest.raises(
        ValueError, match=rf"outputs: .*o.npz' lacks the array '{missing}'; it holds {next(iter(arrays))}"
    ):
        outputs_file.load(tmp_path / "o.npz")


def test_nothing_is_unpickled(tmp_path, arrays):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("owned").touch, ())

    np.savez(tmp_path / "o.npz", **arrays, evil=np.array([Evil()], dtype=object))
    (tmp_path / "p.npz").write_bytes(pickle.dumps(Evil()))
    for name in ("o.npz", "p.npz"):
        with pytest.raises(ValueError, match="is not an .npz file of plain arrays"):
            outputs_file.load(tmp_path / name)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text"])
def test_a_file_that_is_something_else_is_refused(tmp_path, content):
    (tmp_path / "o.npz").write_bytes(content)
    with pytest.raises(ValueError, match="is not an .npz file of plain arrays"):
        outputs_file.load(tmp_path / "o.npz")


def test_balanced_accuracy_weighs_every_class_the_same():
    logits, y = np.zeros((6, 1, 3)), np.array([0, 0, 0, 0, 1, 1])
    found = exit_outputs.checked(logits, y, scoring="balanced_accuracy")
    assert found.weights[:4].sum() == pytest.approx(found.weights[4:].sum())
    assert found.weights.sum() == pytest.approx(6)
