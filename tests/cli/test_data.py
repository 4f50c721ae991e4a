from __future__ import annotations

import json
import os
import shutil
import sys

import numpy as np
import pytest
from images import class_folders, save, truncate
from nni_earlyexit.cli import main
from nni_earlyexit.data import inspection
from PIL import Image


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("NNI_EARLYEXIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(inspection, "RATE_S", 0.01)


@pytest.fixture
def folder(tmp_path):
    for seed, part in enumerate(("train", "test")):
        class_folders(tmp_path / "images" / part, count=30 if part == "train" else 5, seed=seed)
    return tmp_path / "images"


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command; exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nni-earlyexit", "data", *map(str, arguments)])
        try:
            main.main()
        except SystemExit as end:
            return int(end.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


def test_good_data_are_counted_and_exit_with_0(call, folder):
    code, said, error = call("check", f"folder:{folder}", "--validation-share", "0.1", "--calibration-share", "0.1")
    assert (code, error) == (0, "")
    lines = said.splitlines()
    assert lines[0] == "70 files, height x width 8x8"
    assert "inputs 3x8x8, 2 classes" in lines
    assert ["cat", "24", "3", "3", "5"] in [line.split() for line in lines]
    assert ["all", "48", "6", "6", "10"] in [line.split() for line in lines]
    assert any(line.startswith("decoding: ") for line in lines)
    assert any(line.startswith("from the cache: ") for line in lines)
    assert lines[-1] == "all is well"


def test_what_is_suspicious_is_named_and_exits_with_1(call, folder):
    shutil.copy(folder / "train" / "cat" / "000.png", folder / "test" / "dog" / "copy.png")
    Image.new("RGB", (8, 8), "red").save(folder / "test" / "cat" / "flat.png")
    code, said, error = call("check", f"folder:{folder}", "--validation-share", "0.01", "--calibration-share", "0.04")
    assert (code, error) == (1, "")
    copy, original = folder / "test" / "dog" / "copy.png", folder / "train" / "cat" / "000.png"
    assert [line for line in said.splitlines() if line.startswith("suspicious: ")] == [
        f"suspicious: 1 input is in test that training has too, such as {copy} and {original}",
        f"suspicious: 1 input is there with different classes, such as {original} and {copy}",
        f"suspicious: 1 input is one colour only, such as {folder / 'test' / 'cat' / 'flat.png'}",
    ]


def test_a_bit_that_has_turned_in_a_cached_image_is_found_and_mended(call, folder, tmp_path):
    arguments = "check", f"folder:{folder}", "--validation-share", "0.1", "--calibration-share", "0.1"
    call(*arguments)
    (cached,) = (tmp_path / "cache").glob("*/images.npy")
    content = bytearray(cached.read_bytes())
    content[-1] ^= 4
    cached.write_bytes(content)
    code, said, _ = call(*arguments)
    assert code == 0
    assert (
        f"the cached images in {cached.parent} cannot be used and are made again: images.npy is not what was wri"
        in said
    )
    assert "made again" not in call(*arguments)[1]


def test_unreadable_images_are_all_named_and_exit_with_2_unless_they_are_left_out(call, folder):
    for name in ("003.png", "004.png"):
        truncate(folder / "train" / "dog" / name)
    shares = ("--validation-share", "0.1", "--calibration-share", "0.1")
    code, said, error = call("check", f"folder:{folder}", *shares)
    assert code == 2
    assert said.count("cannot be read") >= 2
    assert error.startswith(f"nni-earlyexit: data: the image '{folder}/train/dog/003.png' cannot be read: ")
    assert error.endswith("(and 1 more); skip_unreadable leaves it out\n")
    code, said, error = call("check", f"folder:{folder}", *shares, "--skip-unreadable")
    assert (code, error) == (1, "")
    assert "suspicious: 2 images could not be read and are left out; data: the image" in said


def test_unreadable_images_with_odd_names_are_left_out_too(call, folder):
    (folder / "train" / "dog" / "003.png").rename(folder / "train" / "dog" / "it's\\3.png")
    truncate(folder / "train" / "dog" / "it's\\3.png")
    code, said, error = call("check", f"folder:{folder}", "--skip-unreadable")
    assert (code, error) == (1, "")
    assert "1 images could not be read" in said
    assert "decoding: " in said


def test_images_of_different_sizes_are_measured(call, folder):
    save(folder / "train" / "cat" / "large.png", 1, (40, 90))
    code, said, error = call("check", f"folder:{folder}")
    assert (code, error) == (0, "")
    lines = said.splitlines()
    assert lines[0] == "71 files, height x width 8x8 to 40x90, typically 8x8"
    assert lines[1] == "looked at as 3x32x32; --input-shape is another one"
    assert "inputs 3x32x32, 2 classes" in lines


@pytest.mark.parametrize("cache_limit", ["1", "8G"])
def test_data_that_stream_are_looked_through_too(call, folder, cache_limit):
    shares = ("--validation-share", "0.1", "--calibration-share", "0.1")
    code, said, _ = call(
        "check", f"folder:{folder}", *shares, "--cache-limit", cache_limit, "--input-shape", "1", "8", "8"
    )
    assert code == 0
    assert ("from the cache" in said) == (cache_limit != "1")


def test_other_kinds_are_looked_through(call, tmp_path):
    code, said, _ = call("check", "digits")
    assert code == 0
    assert "from memory: " in said
    reviews = [f"film number {i}\t{i % 2}" for i in range(100)]
    (tmp_path / "reviews.tsv").write_text("\n".join([*reviews, "film number 0\t1", "film number 0\t0"]))
    code, said, _ = call("check", f"tsv:{tmp_path / 'reviews.tsv'}")
    assert code == 1
    assert "suspicious: 1 input is there with different classes, such as 'film number 0' and 'film number 0'" in said


def test_the_cache_is_cleared_and_says_what_that_freed(call, folder, tmp_path):
    call("check", f"folder:{folder}", "--validation-share", "0.1", "--calibration-share", "0.1")
    cache = tmp_path / "cache"
    (entry,) = cache.glob("*-3x8x8")
    assert call("clear", "--older-than", "1d")[:2] == (0, f"0 data sets removed from {cache}, 0 bytes freed\n")
    os.utime(entry / "index.json", (0, 0))
    code, said, _ = call("clear", "--older-than", "1d")
    assert code == 0
    assert said.startswith(f"1 data sets removed from {cache}, ")
    assert call("clear")[1].startswith("1 data sets removed")  # what the images' size was
    assert list(cache.iterdir()) == []


def broken(tmp_path, kind):
    root = tmp_path / "broken"
    if kind == "labels":
        np.savez(root.with_suffix(".npz"), x=np.zeros((40, 1, 4, 4)), y=np.arange(40) % 2 / 2)
        return f"npz:{root.with_suffix('.npz')}"
    class_folders(root)
    if kind == "empty":
        (root / "bird").mkdir()
    elif kind == "one":
        shutil.rmtree(root / "dog")
    elif kind == "test class":
        class_folders(root / "train")
        class_folders(root / "test", ("cat", "cow"))
    else:
        truncate(root / "cat" / "000.png")
    return f"folder:{root}"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("labels", "data: in '{}.npz', y is float64; classes must be integers from 0"),
        ("empty", "data: '{}' has no images of class 'bird'"),
        ("one", "data: '{}' has 1 class; a folder for each of at least 2 classes is needed"),
        ("test class", "data: '{}' has the class 'cow' in test/, which train/ lacks"),
        ("truncated", "data: the image '{}/cat/000.png' cannot be read: "),
    ],
)
def test_what_cannot_be_used_exits_with_2_and_one_sentence(call, tmp_path, kind, sentence):
    code, _, error = call("check", broken(tmp_path, kind))
    assert code == 2
    assert error.startswith(f"nni-earlyexit: {sentence.format(tmp_path / 'broken')}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["check", "cifar11"], "data: 'cifar11' is unknown; did you mean 'cifar10' or 'cifar100'?"),
        (["check", "folder:none"], "data: there is no folder 'none'"),
        (["clear", "--older-than", "x"], "--older-than: 'x' is not a duration"),
        ([], "command: it is missing"),
    ],
)
def test_bad_arguments_exit_with_2_and_one_sentence(call, arguments, sentence):
    code, said, error = call(*arguments)
    assert (code, said) == (2, "")
    assert error.startswith(f"nni-earlyexit: {sentence}")
    assert error.count("\n") == 1


def test_programs_get_json_or_csv_and_people_still_see_the_rest_on_stderr(call, folder):
    shares = ("--validation-share", "0.1", "--calibration-share", "0.1")
    code, said, error = call("check", f"folder:{folder}", *shares, "--json")
    assert code == 0
    content = json.loads(said)
    assert content["input_shape"] == [3, 8, 8]
    assert content["classes"][-1] == {"class": "all", "train": 48, "validation": 6, "calibration": 6, "test": 10}
    assert error.endswith("all is well\n")
    code, said, _ = call("check", f"folder:{folder}", *shares, "--csv")
    assert said.splitlines()[0] == "class,train,validation,calibration,test"
    assert call("check", f"folder:{folder}", "--csv", "--json")[0] == 2
