"""Safetensors files with a checksum."""

from __future__ import annotations

import pytest
import torch
from nni_earlyexit.utils.tensors import read_about, read_tensors, write_tensors
from safetensors.torch import save_file

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3).t(),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "none": torch.empty(0, 2),
}


@pytest.fixture
def file(tmp_path):
    write_tensors(tmp_path / "file", TENSORS, {"epochs": 3})
    return tmp_path / "file"


def test_tensors_and_facts_are_read_again(file):
    tensors, about = read_tensors(file, "weights")
    assert about == read_about(file, "weights") == {"epochs": 3}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())


@pytest.mark.parametrize("change", [(b'epochs\\": 3', b'epochs\\": 4'), (b"\x80?", b"\x81?")], ids=["facts", "tensors"])
def test_what_was_changed_is_seen(file, change):
    assert change[0] in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(*change, 1))
    with pytest.raises(ValueError, match=r"^weights: '.*file' is damaged: its checksum is another one"):
        read_tensors(file, "weights")


def test_a_file_without_a_checksum_is_read_as_it_is(tmp_path):
    save_file({"weight": torch.ones(2)}, str(tmp_path / "old"), {"about": "[1]"})
    tensors, about = read_tensors(tmp_path / "old", "weights")
    assert (tensors["weight"].tolist(), about) == ([1, 1], [1])


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"^weights: '.*junk' is damaged"):
        read_about(tmp_path / "junk", "weights")
    with pytest.raises(FileNotFoundError, match=r"^weights: there is no file '.*gone'"):
        read_tensors(tmp_path / "gone", "weights")
