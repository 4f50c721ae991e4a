"""The example of CIFAR-10, in small, on real images where they are at hand, and on some that the test makes where not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from nni_earlyexit import EarlyExitNetwork
from nni_earlyexit.experiment.environment import environment
from PIL import Image
from support import PROGRAM, free_port, left_behind

pytestmark = pytest.mark.nni

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT.parent / "shared" / "data" / "cifar10" / "cifar10-jpeg.tar.xz"
MOST = 200
"""Images of a class that are taken from it: a minute more would go by until all were decoded."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of images in ten classes."""
    folder = tmp_path_factory.mktemp("images")
    if ARCHIVE.is_file():
        taken: Counter[str] = Counter()
        with tarfile.open(ARCHIVE) as archive:
            for member in archive:
                place = str(Path(member.name).parent)
                if member.isfile() and taken[place] < MOST:
                    archive.extract(member, folder, filter="data")
                    taken[place] += 1
        return folder
    rng = np.random.default_rng(0)
    colours = rng.integers(40, 216, (10, 3))
    for part, number in (("train", 60), ("test", 20)):
        for label in range(10):
            (folder / part / f"class{label}").mkdir(parents=True)
            for i in range(number):
                pixels = (colours[label] + rng.integers(-40, 41, (32, 32, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / f"class{label}" / f"{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    results = home / "results"
    done = subprocess.run(
        [
            str(PROGRAM), "run", str(ROOT / "examples" / "cifar10" / "experiment.yml"), "--quick", "--grace", "400s",
            "--port", str(free_port()), "--results", str(results), "--trial-options", f"--data folder:{images}",
        ],
        env={**environment(), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
        capture_output=True, text=True, timeout=850, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return home, results, done.stdout


def test_a_quick_search_writes_a_front_of_networks_that_were_trained(finished):
    _, results, said = finished
    written = json.loads((results / "front.json").read_text())
    assert 1 <= len(written["front"]) <= written["trials"] <= 4
    assert (results / "front.png").is_file()
    assert re.search(r"[1-4]/4 trials, best so far 0\.\d+", said)
    assert max(member["test"]["accuracy"] for member in written["front"]) > 0.1


def test_images_were_decoded_once_for_all_trials(finished):
    home, _, said = finished
    assert len(re.findall(r"^decoded [\d,]+ images", said, flags=re.M)) == 1
    trials = list((home / "nni-experiments").rglob("trial.json"))
    assert trials
    logs = [path.read_text() for folder in trials for path in folder.parent.glob("std*")]
    assert not any("decoded" in log for log in logs)


def test_a_network_of_the_front_answers_image_files_as_it_answered_the_test_split(finished, images):
    _, results, _ = finished
    (member, *_) = json.loads((results / "front.json").read_text())["front"]
    network = EarlyExitNetwork.load(member["trial_folder"])
    names = sorted(path.name for path in (images / "test").iterdir())
    assert network.class_names == tuple(names)
    pixels, labels = [], []
    for label, name in enumerate(names):
        for path in sorted((images / "test" / name).iterdir())[:20]:
            with Image.open(path) as image:
                pixels.append(np.asarray(image.convert("RGB")))
            labels.append(label)
    batch = np.stack(pixels)
    answers = network.predict(batch)
    assert np.array_equal(network.predict((batch / 255).astype(np.float32)).classes, answers.classes)
    accuracy = (answers.classes.numpy() == labels).mean()
    low, high = member["test"]["interval"]
    assert low - 0.1 < accuracy < high + 0.1


def test_nothing_is_left_running(finished):
    home, _, _ = finished
    assert not left_behind(home)


@pytest.mark.long
def test_a_supernet_gives_weights_to_a_search_and_its_best_network_is_trained_further(finished, images, tmp_path):
    home, _, _ = finished
    script = ROOT / "examples" / "cifar10" / "with_supernet.py"
    done = subprocess.run(
        [sys.executable, script, "--data", f"folder:{images}", "--results", tmp_path, "--quick", "--port", str(free_port())],
        env={**environment(), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
        capture_output=True, text=True, timeout=850, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[2] for line in done.stdout.splitlines() if line.startswith("$ ")] == [
        "supernet",
        "run",
        "finetune",
    ]
    assert (tmp_path / "supernet.safetensors").is_file()
    written = json.loads((tmp_path / "front.json").read_text())
    assert written["trials"] >= 2
    (again,) = (
        home / "nni-experiments" / written["experiment"] / "environments" / "trained-further" / "trials"
    ).iterdir()
    assert EarlyExitNetwork.load(again).class_names
    assert not left_behind(home)
