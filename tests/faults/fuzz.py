"""Damaged and absurd files and arguments: each gives a result, or one sentence. No traceback.

    python tests/faults/fuzz.py [--cases 10000] [--seed 0] [TARGET ...]

prints how many cases gave a result and how many a sentence, and every case that gave neither. A case is repeated with
``--cases 1 --seed ITS_NUMBER TARGET``.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import errno
import io
import json
import logging
import os
import random
import re
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import yaml

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from nni_database import write

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
SPACE = EXAMPLE / "search_space.json"

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 10**30, 10**400, 0.5, -0.0, 1e300, float("inf"), float("-inf"), float("nan"), "", " ",
    "x", "1", "-1", "1%",
    "1e3", "600k", "2M", "nan", "inf", "digits", "digits/2", "a\0b", "é😀", "a\nb", "~nobody/x", "/", "/dev/null",
    ".", "..", "x" * 5000,
    "venv.__main__", "timm:resnet18", "digits max_exits=99", "space", "%", "{", "5s", "0s", "1h", [], {}, [1], ["x"],
    [[]], {"a": 1},
    {1: 2}, [None], {"_type": "choice", "_value": []}, {"_type": "choice", "_value": ["digits/2"]}, "--help", "-h",
]  # fmt: skip
ARGUMENTS = [
    "--data", "digits", "no.npz", "--input-shape", "3", "8", "100000", "1", "0", "-1", "--epochs", "--batch-size",
    "--learning-rate",
    "0.1", "nan", "inf", "1e999", "--exit-weights", "--max-avg-macs", "600k", "5X", "--max-full-macs", "1M",
    "--max-params",
    "--max-activation-bytes", "--max-latency-s", "--latency-table", "--min-accuracy", "2", "0.9", "--max-drop",
    "--tolerance", "--weight",
    "--knee", "--confidence", "entropy", "max_pro", "--seed", "99999999999999999999", "--threads", "100000",
    "--help", "-h", "--", "'",
    '"', "--trial-timeout", "5s", "0", "--allow-space", "venv.__main__", "os", "\\", "$(true)", "--epochs=0x10", "=",
    "--knee=1", "é",
]  # fmt: skip


def mutated(rng: random.Random, value: Any) -> Any:
    """``value`` with one or a few of its parts replaced, left out, doubled or moved."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = value
        while isinstance(at, (dict, list)) and at:
            key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
            if isinstance(at[key], (dict, list)) and at[key] and rng.random() < 0.6:
                at = at[key]
                continue
            change = rng.randrange(5)
            if change == 0:
                del at[key]
            elif change == 1 and isinstance(at, dict):
                at[rng.choice((str(key).upper(), f"{key}_", f"x{key}", 1, None, True))] = at[key]
            elif change == 2 and isinstance(at[key], str):
                at[key] = damaged(rng, at[key].encode()).decode(errors="replace")
            elif change == 3 and type(at[key]) in (int, float) and not abs(at[key]) > 10**300:
                at[key] = rng.choice((-at[key], at[key] * 1e30, at[key] + 0.5, str(at[key]), 0))
            else:
                at[key] = rng.choice(ODD)
            break
    return value


def damaged(rng: random.Random, data: bytes) -> bytes:
    """``data`` with bits turned, bytes left out, put in or doubled, or without its end."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at:at] = rng.randbytes(rng.choice((1, 4, 50)))
        elif kind == 2:
            del changed[at : at + rng.choice((1, 4, 50))]
        elif kind == 3:
            changed[at:at] = changed[at : at + 50]
        elif rng.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def experiment(rng: random.Random, folder: Path) -> None:
    """The check of an experiment file."""
    from nni_earlyexit.experiment.config import check

    shutil.copy(EXAMPLE / "search_space.json", folder)
    content = yaml.safe_load((EXAMPLE / "experiment.yml").read_text())
    kind = rng.randrange(4)
    if kind == 0:
        text = damaged(rng, (EXAMPLE / "experiment.yml").read_bytes())
    elif kind == 1:
        content["trialCommand"] = " ".join(
            ["python -m nni_earlyexit.trial", *rng.choices(ARGUMENTS, k=rng.randrange(1, 6))]
        )
        text = yaml.safe_dump(content).encode()
    else:
        text = yaml.safe_dump(mutated(rng, content)).encode()
    (folder / "experiment.yml").write_bytes(text)
    check(folder / "experiment.yml")


def search_space(rng: random.Random, folder: Path) -> None:
    """The check of an experiment file whose search space file is damaged."""
    from nni_earlyexit.experiment.config import check

    shutil.copy(EXAMPLE / "experiment.yml", folder)
    whole = (EXAMPLE / "search_space.json").read_bytes()
    text = damaged(rng, whole) if rng.random() < 0.5 else json.dumps(mutated(rng, json.loads(whole))).encode()
    (folder / "search_space.json").write_bytes(text)
    check(folder / "experiment.yml")


def data(rng: random.Random, folder: Path) -> None:
    """A data set in a damaged file, or of odd arrays."""
    from nni_earlyexit import data as data_sets

    numbers = np.random.default_rng(rng.randrange(2**32))
    kinds = ["f8", "f4", "f2", "i8", "u1", "?", "c8", "m8[s]", "M8[D]", "U3", "S2", "V3"]
    shape = rng.choice(
        ((40, 1, 4, 4), (40, 3, 2, 2), (40, 7), (40,), (40, 0, 4, 4), (0, 1, 2, 2), (40, 1, 0, 0), (), (1, 1), (2,) * 9)
    )
    x = (numbers.normal(size=shape) * rng.choice((1, 1e300, 0, 1e-300))).astype("f8")
    y = np.arange(rng.choice((40, 40, 40, 39, 0))) % rng.choice((2, 2, 3, 40))
    if rng.random() < 0.4:
        x, y = numbers.normal(size=(40, 1, 4, 4)), np.arange(40) % 2
    with contextlib.suppress(TypeError, ValueError):  # not every array can be every kind
        x = x.astype(rng.choice(kinds)) if rng.random() < 0.5 else x
        y = y.astype(rng.choice(kinds)) if rng.random() < 0.5 else y
    path = folder / "data.npz"
    arrays = {rng.choice(("x", "x", "x", "X")): x, "y": y, **({"z": x} if rng.random() < 0.1 else {})}
    (np.savez if rng.random() < 0.5 else np.savez_compressed)(path, **arrays)
    if rng.random() < 0.6:
        path.write_bytes(damaged(rng, path.read_bytes()))
    data_sets.load(str(path), 0, rng.choice((None, None, (3, 8, 8), (1, 4, 4), (7,))))


@cache
def _whole_outputs() -> bytes:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, size=60)
    logits = rng.normal(size=(60, 3, 3)) + 2 * np.eye(3)[labels][:, None]
    file = io.BytesIO()
    np.savez(file, calibration_logits=logits.astype("f4"), calibration_labels=labels, exit_costs=np.array([10, 20, 30]))
    return file.getvalue()


def outputs(rng: random.Random, folder: Path) -> None:
    """``nni-earlyexit thresholds`` with a damaged file of outputs, and odd arguments."""
    content = _whole_outputs()
    if rng.random() < 0.3:
        with np.load(io.BytesIO(content)) as stored:
            arrays = dict(stored)
        name = rng.choice(list(arrays))
        arrays[name] = rng.choice(
            (
                arrays[name] * np.nan,
                arrays[name][:0],
                arrays[name].astype("c8"),
                arrays[name].astype("U3"),
                -arrays[name],
            )
        )
        file = io.BytesIO()
        np.savez(file, **arrays)
        content = file.getvalue()
    elif rng.random() < 0.7:
        content = damaged(rng, content)
    (folder / "outputs.npz").write_bytes(content)
    known = [
        "--max-avg-macs",
        "--min-accuracy",
        "--max-drop",
        "--tolerance",
        "--weight",
        "--knee",
        "--confidence",
        "--guarantee",
    ]
    values = [
        "1%",
        "0.5",
        "2",
        "-1",
        "nan",
        "15",
        "5X",
        "entropy",
        "learned",
        "patience",
        "x",
        "",
        "110%",
        "1e999",
        "0",
    ]
    arguments = rng.choices(known + values + values, k=rng.choice((0, 0, 1, 2, 2, 2, 4)))
    _command("thresholds", str(folder / "outputs.npz"), *arguments)


@cache
def _whole_trial() -> Path:
    """The folder of an experiment with one trained network; made once, away from the cases."""
    import torch
    from nni_earlyexit import EarlyExitEvaluator, search_spaces
    from nni_earlyexit.evaluation import record

    folder = Path(tempfile.mkdtemp())
    space = search_spaces.create("digits")
    sample, _ = space.cheapest(exit=-1)
    evaluator = EarlyExitEvaluator(epochs=1, threads=1)
    torch.manual_seed(0)
    evaluation = evaluator.evaluate(space.freeze({**sample, "exit0_present": "yes"}))
    record.save(evaluation, folder / "environments" / "local-env" / "trials" / "abcde", evaluator.settings)
    return folder


def trial(rng: random.Random, folder: Path) -> None:
    """The front of an experiment one of whose trials is damaged; with ``trial.json`` as of before there were checksums, too."""
    from nni_earlyexit.evaluation import record
    from nni_earlyexit.evaluation.experiment_front import experiment_front

    shutil.copytree(_whole_trial(), folder / "experiment")
    (path,) = (folder / "experiment").glob("environments/*/trials/*")
    name = rng.choice((record.SUMMARY, record.SUMMARY, record.SUMMARY, record.WEIGHTS, record.OUTPUTS))
    content = (path / name).read_bytes()
    if name == record.SUMMARY and rng.random() < 0.7:
        summary = json.loads(content)
        if rng.random() < 0.7:
            summary["format"] = record.UNCHECKED_FORMAT
            del summary["checksums"]
        content = json.dumps(mutated(rng, summary)).encode()
    else:
        content = damaged(rng, content)
    (path / name).write_bytes(content)
    said: list[str] = []
    front = experiment_front(folder / "experiment", said.append)
    assert front or any(line.startswith("left out") for line in said) or "feasible" in str(content)
    if front is None:
        raise ValueError(f"front: {'; '.join(said)}")


@cache
def _whole_bundle() -> Path:
    """A bundle with segments for onnxruntime; made once, away from the cases."""
    from nni_earlyexit.deploy import export
    from nni_earlyexit.evaluation import record

    folder = Path(tempfile.mkdtemp()) / "bundle"
    (stored,) = _whole_trial().glob("environments/*/trials/*")
    export(record.load(stored), folder, keep_exits=True, onnx=True)
    return folder


def bundle(rng: random.Random, folder: Path) -> None:
    """A bundle with a damaged file, or one that somebody has changed, checksums and all; it answers images."""
    from nni_earlyexit.deploy import EarlyExitPredictor
    from nni_earlyexit.runtime import Bundle, OnnxPredictor
    from nni_earlyexit.runtime.bundle import ARCHITECTURE, MANIFEST, POLICY, WEIGHTS, manifest_of

    shutil.copytree(_whole_bundle(), folder / "bundle")
    names = list(Bundle.load(folder / "bundle").checksums)
    name = rng.choice((ARCHITECTURE, ARCHITECTURE, POLICY, POLICY, WEIGHTS, MANIFEST, *names))
    path = folder / "bundle" / name
    if path.suffix == ".json" and rng.random() < 0.6:
        path.write_text(json.dumps(mutated(rng, json.loads(path.read_text()))))
    else:
        path.write_bytes(damaged(rng, path.read_bytes()))
    if name != MANIFEST and rng.random() < 0.8:
        (folder / "bundle" / MANIFEST).write_text(json.dumps(manifest_of(folder / "bundle", names)))
    images = np.random.default_rng(0).random((3, 1, 8, 8)).astype("f4")
    loaded = Bundle.load(folder / "bundle")
    loaded.point_at(max_cost=1e9)
    if name.endswith(".onnx") or rng.random() < 0.3:
        OnnxPredictor(loaded, threads=1)(images)
    else:
        EarlyExitPredictor(loaded, device="cpu")(images)


@cache
def _whole_images() -> Path:
    """Images in folders of classes, as many of them as a split needs; made once, away from the cases."""
    from PIL import Image

    folder = Path(tempfile.mkdtemp())
    for number in range(40):
        place = folder / ("cat", "dog")[number % 2]
        place.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype="u1")
        Image.fromarray(pixels).save(place / f"{number}.{('png', 'jpg', 'bmp', 'webp')[number // 2 % 4]}")
    return folder


def images(rng: random.Random, folder: Path) -> None:
    """A folder of images with damaged files, odd names, links that go nowhere or round, and splits of its own."""
    from nni_earlyexit import data as data_sets

    root = folder / "images"
    shutil.copytree(_whole_images(), root)
    for _ in range(rng.choice((1, 1, 2, 4))):
        files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        classes = sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
        if not files or not classes:
            break
        _spoil(rng, root, files, rng.choice(classes))
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    try:
        shape = rng.choice((*[(3, 8, 8), (1, 4, 4), None] * 5, (7,), (2, 8, 8), (3, 0, 8)))
        loaded = data_sets.load(f"folder:{root}", 0, shape)
        assert len(loaded.train) > 0
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before


def _spoil(rng: random.Random, root: Path, files: list[Path], of_class: Path) -> None:
    """Change something in a folder of images."""
    some = rng.sample(files, k=min(len(files), rng.choice((1, 1, 3, 30))))
    kind = rng.randrange(11)
    if kind == 0:
        for path in some:
            path.write_bytes(damaged(rng, path.read_bytes()))
    elif kind == 1:
        for path in some:
            path.write_bytes(rng.choice((b"", b"no image", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM" + bytes(40))))
    elif kind == 2:
        for path in some:
            path.unlink()
    elif kind == 3:
        odd = rng.choice((b"\xff\xfe.png", b" .png", b".png", b"-x.png", b"a\nb.png", b"x.PNG", b"x.txt", b"x"))
        some[0].rename(os.path.join(os.fsencode(some[0].parent), odd).decode(errors="surrogateescape"))
    elif kind == 4:
        odd = rng.choice((b"\xff", b"a\nb", b".hidden", b" ", b"train", b"test", b"val", b"Cat", b"-"))
        if not os.path.exists(os.path.join(os.fsencode(root), odd)):
            of_class.rename(os.path.join(os.fsencode(root), odd).decode(errors="surrogateescape"))
    elif kind == 5:
        link = of_class / f"{rng.choice(('nowhere', 'round'))}.png"
        if not link.is_symlink():
            link.symlink_to(link if link.name == "round.png" else folder_without(root))
    elif kind == 6:
        (root / rng.choice(("empty", "train", "test"))).mkdir(exist_ok=True)
    elif kind == 7:
        for part in rng.choice((("train",), ("train", "test"), ("train", "val"), ("train", "validation", "test"))):
            if not (root / part).exists():
                shutil.copytree(_whole_images(), root / part)
    elif kind == 8:
        shutil.rmtree(of_class)
    elif kind == 9:
        loop = root / "loop"
        if not loop.is_symlink():
            loop.symlink_to(root)
    else:
        os.mkfifo(of_class / "pipe.png") if not (of_class / "pipe.png").exists() else None


def folder_without(root: Path) -> Path:
    """A path at which nothing is."""
    return root / "not" / "there"


@cache
def _small_space() -> Any:
    from nni_earlyexit import search_spaces

    return search_spaces.create("digits max_exits=1")


@cache
def _whole_table() -> dict[str, Any]:
    from nni_earlyexit.profiling import latency
    from nni_earlyexit.space import latency_table as tables

    space = _small_space()
    seconds = dict.fromkeys(tables._unit_names(space.network), 1e-4)
    conditions = {"batch_size": 1, "threads": 1, "dtype": "float32"}
    table = {
        "format": tables.FORMAT,
        "space": space.identity(),
        "machine": latency.machine(),
        "conditions": conditions,
    }
    return {**table, "factor": 1.0, "seconds": seconds}


def latency_table(rng: random.Random, folder: Path) -> None:
    """A damaged latency table."""
    from nni_earlyexit.space.latency_table import LatencyTable

    text = json.dumps(_whole_table()).encode()
    text = damaged(rng, text) if rng.random() < 0.5 else json.dumps(mutated(rng, _whole_table())).encode()
    (folder / "latency.json").write_bytes(text)
    LatencyTable.load(folder / "latency.json", _small_space())


def state(rng: random.Random, folder: Path) -> None:
    """The tuner's stored state, damaged: used, or left aside with a line in the log."""
    from nni_earlyexit import strategies
    from nni_earlyexit.search.checkpoint import FILE, Checkpoint
    from nni_earlyexit.search.limits import Limits
    from nni_earlyexit.space.search_domain import domain
    from nni_earlyexit.strategies import surrogate

    few = {"initial_random": 5, "candidates": 20}
    name, arguments = rng.choice((("nsga2", {}), ("surrogate", few)))
    with mock.patch.object(surrogate, "TRIALS_PER_PROPOSAL", 2):  # so that the state says what its candidates follow
        strategy = strategies.create(name, seed=0, **arguments)
        strategy.start(domain(_small_space(), Limits(), None))
        for accuracy in (0.5, 0.6, None, 0.5, 0.4, 0.3, 0.6)[: 3 if name == "nsga2" else None]:
            sample = strategy.ask()
            strategy.tell(sample, None if accuracy is None else {"accuracy": accuracy, "avg_macs": 1e5})
        strategy.ask()
        stored = Checkpoint(folder)
        stored.save(strategy)
        strategy.tell(strategy.ask(), {"accuracy": 0.7, "avg_macs": 1e5})
        stored.save(strategy)
        path = folder / FILE
        lines = path.read_bytes().splitlines(keepends=True)
        at = rng.randrange(len(lines))
        if rng.random() < 0.5:
            lines[at] = json.dumps(mutated(rng, json.loads(lines[at]))).encode() + b"\n"
            path.write_bytes(b"".join(lines))
        else:
            path.write_bytes(damaged(rng, b"".join(lines)))
        if not Checkpoint(folder).load(strategy):
            raise ValueError("state: left aside")
        strategy.ask()


STOPPED_BY = {
    "run": ["--port", "0"],
    "train": ["--data", "npz:/nowhere/data.npz"],
    "supernet": ["--data", "npz:/nowhere/data.npz"],
    "exits": ["--data", "npz:/nowhere/data.npz"],
    "latency": ["--output", "/dev/null/x"],
}
"""Last words, which count, of commands that would work for long."""
NOT_CALLED = ("doctor", "register")
"""Commands that change or ask the environment, and take hardly any words."""


@cache
def _options() -> dict[str, list[str]]:
    """The options of each command of ``nni-earlyexit``, subcommands by two words."""
    import typer
    from nni_earlyexit.cli.main import app

    options = {}
    program: Any = typer.main.get_command(app)
    for name in set(program.list_commands(None)) - set(NOT_CALLED):
        command = program.get_command(None, name)
        subcommands = getattr(command, "commands", {})
        for words, each in {f"{name} {sub}": sub for sub in subcommands}.items() or [(name, None)]:
            params = (command if each is None else subcommands[each]).params
            options[words] = [option for param in params for option in param.opts if option.startswith("-")]
    return dict(sorted(options.items()))


def arguments(rng: random.Random, folder: Path) -> None:
    """Command lines of ``nni-earlyexit``, all of its commands and options, with which none works for long."""
    words = [
        str(folder), str(folder / "none.yml"), str(EXAMPLE / "experiment.yml"), str(EXAMPLE / "search_space.json"),
        "70000", "x", "/dev/null/x", "abc", "none", "5s", "-1", "0", "1", "0.5", "nan", "1e999", "600k", "1%",
        "os", "digits", "max_exits=1", "max_exits=-1", "max_exits=x", "fixed_exits=0,9", "num_classes=1", "num_classes=0",
        "first_exit=9", "digits/1", "digits/999", "mobilenetv3", "resolution=7", "resolution=nan", "timm", "text",
        "timm:nosuch", "=", "'", "", "--help", "nowhere.yml", "tsv:none.tsv", "folder:none", "cifar10", "x" * 300,
    ]  # fmt: skip
    command = rng.choice(list(_options()))
    words += _options()[command] * 2
    with _home(folder), _within(folder):
        _command(*command.split(), *rng.choices(words, k=rng.randrange(5)), *STOPPED_BY.get(command, []))


@contextlib.contextmanager
def _within(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@cache
def _whole_supernet() -> bytes:
    from nni_earlyexit.supernet.supernet import Supernet

    path = Path(tempfile.mkdtemp()) / "supernet.safetensors"
    Supernet(_small_space()).save(path, {"epochs": 1})
    return path.read_bytes()


def supernet(rng: random.Random, folder: Path) -> None:
    """A damaged supernet, or one whose facts somebody has changed."""
    from nni_earlyexit.supernet.supernet import Supernet
    from nni_earlyexit.utils.tensors import read_tensors, write_tensors

    path = folder / "supernet.safetensors"
    path.write_bytes(_whole_supernet())
    if rng.random() < 0.4:
        tensors, about = read_tensors(path, "weights")
        if rng.random() < 0.3:
            name = rng.choice(list(tensors))
            tensors[name] = tensors[name].reshape(-1)[:1].clone() if rng.random() < 0.5 else tensors[name].double()
        write_tensors(path, tensors, json.loads(json.dumps(mutated(rng, about), default=str, skipkeys=True)))
    elif rng.random() < 0.9:
        content = _whole_supernet()
        head = content[:1000] if rng.random() < 0.5 else content
        path.write_bytes(damaged(rng, head) + content[len(head) :])
    Supernet.space_of(path)
    if rng.random() < 0.3:  # for it takes as long as all else
        Supernet.load(path, _small_space())
    else:
        read_tensors(path, "weights")


@cache
def _whole_branch() -> Path:
    import torch
    from nni_earlyexit.bank.branch import Branch
    from nni_earlyexit.bank.stored_branch import StoredBranch

    path = Path(tempfile.mkdtemp()) / "branch.safetensors"
    logits, weights = np.zeros((40, 3), "f4"), {"weight": torch.ones(100)}
    StoredBranch(Branch(0, (("exit0_depth", 0),)), 5, 6, (0.5,), False, 1.0, logits, logits + 1, weights).save(path)
    return path


def branch(rng: random.Random, folder: Path) -> None:
    """A damaged branch of a bank, or one whose facts somebody has changed."""
    from nni_earlyexit.bank.stored_branch import StoredBranch
    from nni_earlyexit.utils.tensors import read_tensors, write_tensors

    path = folder / "branch.safetensors"
    if rng.random() < 0.5:
        tensors, about = read_tensors(_whole_branch(), "bank")
        if rng.random() < 0.3:
            del tensors[rng.choice(list(tensors))]
        write_tensors(path, tensors, json.loads(json.dumps(mutated(rng, about), default=str, skipkeys=True)))
    else:
        path.write_bytes(damaged(rng, _whole_branch().read_bytes()))
    StoredBranch.load(path)


@cache
def _whole_training() -> bytes:
    import torch

    file = io.BytesIO()
    progress = {"phase": 0, "epochs": 2, "precision": "float32"}
    torch.save({"nni_earlyexit": progress, "state_dict": {"weight": torch.ones(50)}, "epoch": 1}, file)
    return file.getvalue()


def training(rng: random.Random, folder: Path) -> None:
    """The damaged state of a training, and perhaps that of the epoch before."""
    from nni_earlyexit.training.checkpoint import Checkpoint

    path = folder / "training.ckpt"
    for each in (path, folder / "training.ckpt.before"):
        if rng.random() < 0.8:
            each.write_bytes(damaged(rng, _whole_training()) if rng.random() < 0.7 else _whole_training())
    if Checkpoint.read(path) is None:
        raise ValueError("checkpoint: there is none")


def sentences(rng: random.Random, folder: Path) -> None:
    """A damaged file of sentences, with shapes that are no lengths."""
    from nni_earlyexit import data as data_sets

    lines = [f"{'good' if number % 2 else 'bad'} film {number}\t{number % 2}" for number in range(60)]
    text = "\n".join(["sentence\tlabel", *lines, ""]).encode()
    name = rng.choice(("x.tsv", "x.tsv", "train.tsv"))
    (folder / name).write_bytes(damaged(rng, text) if rng.random() < 0.8 else text)
    if name == "train.tsv":
        (folder / rng.choice(("test.tsv", "dev.tsv", "odd.tsv"))).write_bytes(damaged(rng, text))
    source = folder if name == "train.tsv" else folder / name
    shape = rng.choice((None, None, None, (8,), (3, 8, 8), (0,), (-1,), (10**9,)))
    data_sets.load(f"tsv:{source}", 0, shape)


def database(rng: random.Random, folder: Path) -> None:
    """What reads NNI's database, or its list of experiments, where something in it is odd or damaged."""
    from nni_earlyexit.evaluation.stored_outputs import experiments
    from nni_earlyexit.experiment import overview, workers
    from nni_earlyexit.report.html import experiment as report
    from nni_earlyexit.report.html import reproduction

    place = folder / "nni-experiments" / "abcdefgh"
    shutil.copytree(_whole_trial(), place)
    result = json.loads((_trial_in(place) / "trial.json").read_text())["metrics"]
    config: Any = {
        "experimentName": "a search", "maxTrialNumber": 4, "maxExperimentDuration": "1h", "trialConcurrency": 1,
        "trialCommand": "python -m nni_earlyexit.trial", "searchSpace": json.loads(SPACE.read_text()),
        "tuner": {"name": "EarlyExit", "classArgs": {"space": "digits"}},
        "trainingService": {"platform": "remote", "machineList": [{"host": "w", "user": "me", "port": 22}]},
    }  # fmt: skip
    listed: Any = {"abcdefgh": {"id": "abcdefgh", "port": 8080, "logDir": str(place.parent), "status": "RUNNING"}}
    row: dict[str, Any] = {"execDuration": 60, "startTime": 1_700_000_000_000}
    event: dict[str, Any] = {"timestamp": 1, "trialJobId": "abcde", "event": "SUCCEEDED", "sequenceId": 0}
    content: Any = json.dumps(result)
    kind = rng.randrange(6)
    if kind == 0:
        config = mutated(rng, config)
    elif kind == 1:
        row = mutated(rng, row)
    elif kind == 2:
        event = mutated(rng, event)
    elif kind == 3:
        content = json.dumps(mutated(rng, result)) if rng.random() < 0.7 else rng.choice(ODD)
    elif kind == 4:
        listed = mutated(rng, listed)
    write(place, [], [], **{str(name): value for name, value in config.items()})
    with contextlib.closing(sqlite3.connect(place / "db" / "nni.sqlite")) as connection, connection:
        for table, values in (
            ("TrialJobEvent", event),
            ("MetricData", {"timestamp": 1, "trialJobId": "abcde", "type": "FINAL", "data": _dumped(content)}),
        ):
            _insert(connection, table, values)
        for name, value in row.items():
            with contextlib.suppress(sqlite3.Error, OverflowError):
                connection.execute(f'UPDATE ExperimentProfile SET "{name}" = ?', (_storable(value),))
    text = json.dumps(listed).encode()
    if kind == 5:
        path = place / "db" / "nni.sqlite"
        path.write_bytes(damaged(rng, path.read_bytes()))
        text = damaged(rng, text)
    (place.parent / ".experiment").write_bytes(text)
    with _home(folder):
        assert "abcdefgh" in experiments()
        workers.remote_machines(place)
        read = report.read(place)
        overview.overview(place).to_dict()
        overview.cells(overview.overview(place))
        reproduction.script(read)


def _trial_in(place: Path) -> Path:
    (path,) = place.glob("environments/*/trials/*")
    return path


def _dumped(content: Any) -> Any:
    return json.dumps(content) if isinstance(content, str) else _storable(content)


def _storable(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bytes)) or value is None else json.dumps(value, default=str)


def _insert(connection: sqlite3.Connection, table: str, values: Any) -> None:
    """Insert what the table can hold of ``values``."""
    with contextlib.suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", [_storable(v) for v in values.values()])


@contextlib.contextmanager
def _home(folder: Path) -> Iterator[None]:
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("HOME") if before is None else os.environ.update(HOME=before)


def _command(*words: str) -> None:
    """The command ``nni-earlyexit``; ``ValueError`` when it ends with a sentence, and anything else as it is."""
    from nni_earlyexit.cli import main

    said, before = io.StringIO(), sys.argv
    sys.argv = ["nni-earlyexit", *words]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            main.main()
    except SystemExit as end:
        line = said.getvalue()
        if end.code not in (0, None):
            if end.code != 1 or line:
                if end.code != 2:
                    raise RuntimeError(f"exit code {end.code}: {line}") from None
                assert line.startswith("nni-earlyexit: "), line
                assert line.count("\n") == 1, line
            raise ValueError(line.strip().removeprefix("nni-earlyexit: ") or "exit code: 1") from None
    finally:
        sys.argv = before


TARGETS: dict[str, Callable[[random.Random, Path], None]] = {
    target.__name__: target
    for target in (
        experiment,
        search_space,
        data,
        outputs,
        trial,
        bundle,
        images,
        latency_table,
        state,
        supernet,
        branch,
        training,
        sentences,
        arguments,
        database,
    )
}


def _started() -> set[Any]:
    """Processes that this one has started, and ports that it listens on; those of other tests are there before a case."""
    here = psutil.Process()
    return {*here.children(), *(each.laddr for each in here.net_connections() if each.status == psutil.CONN_LISTEN)}


def is_sentence(error: Exception) -> bool:
    """``True`` for one line that begins with the name of a field, an option or, from the system, a file."""
    from nni_earlyexit.utils.errors import sentence

    said = sentence(error)
    of_a_file = said.rpartition(": ")[2] in map(os.strerror, errno.errorcode)
    return "\n" not in str(error) and (of_a_file or re.match(r"-{0,2}\w[\w .-]*: .", said) is not None)


@cache
def _create_once() -> Callable[..., Any]:
    from nni_earlyexit import search_spaces

    return cache(search_spaces.create)


@contextlib.contextmanager
def spaces_made_once() -> Iterator[None]:
    """Search spaces and what is measured of them do not depend on the case, and take longer than all else."""
    import torch
    from nni_earlyexit import search_spaces

    create, threads = search_spaces.create, torch.get_num_threads()
    search_spaces.create = _create_once()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        search_spaces.create = create
        torch.set_num_threads(threads)


def cases(name: str, seeds: Iterator[int]) -> tuple[Counter[str], list[str]]:
    """What the cases of a target came to, and a traceback of each that gave neither a result nor a sentence."""
    outcomes: Counter[str] = Counter()
    tracebacks = []
    for seed in seeds:
        folder = Path(tempfile.mkdtemp())
        try:
            with warnings.catch_warnings(), spaces_made_once():
                warnings.simplefilter("ignore")
                before = _started()
                try:
                    TARGETS[name](random.Random(seed), folder)
                finally:
                    left = [*folder.rglob("*.part"), *(_started() - before)]
                    assert not left, left
            outcomes["results"] += 1
        except (ValueError, OSError) as error:
            if not is_sentence(error):
                tracebacks.append(f"{name}, seed {seed}: no sentence that begins with a name: {error!r}")
            outcomes["sentences"] += 1
        except KeyboardInterrupt:
            raise
        except BaseException:
            tracebacks.append(f"{name}, seed {seed}:\n{traceback.format_exc(limit=-6)}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return outcomes, tracebacks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (all)")
    parser.add_argument("--cases", type=int, default=10_000, help="of each target (10000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first case (0)")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    _limit_memory()
    bad = 0
    for name in given.targets or TARGETS:
        start = time.perf_counter()
        outcomes, tracebacks = cases(name, iter(range(given.seed, given.seed + given.cases)))
        bad += len(tracebacks)
        for shown in tracebacks[:10]:
            print(shown)
        seconds = time.perf_counter() - start
        print(
            f"{name}: {given.cases:,} cases in {seconds:.0f} s: {outcomes['results']:,} results, "
            f"{outcomes['sentences']:,} sentences, {len(tracebacks)} tracebacks",
            flush=True,
        )
    return 1 if bad else 0


def _limit_memory() -> None:
    """What asks for absurd amounts gets none, rather than the machine's."""
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "end_to_end"))
    sys.exit(main())
