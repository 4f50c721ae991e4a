"""The example of own images: from a folder to a front."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest
from nni_earlyexit import EarlyExitNetwork
from PIL import Image
from sklearn.datasets import load_digits
from support import free_port

pytestmark = [pytest.mark.nni, pytest.mark.slow]

OF_EACH_CLASS = 30


@pytest.fixture(scope="module")
def images(tmp_path_factory, examples):
    """The digits as the example writes them."""
    spec = importlib.util.spec_from_file_location("own_data_search", examples / "own-data" / "search.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script.write_digits(tmp_path_factory.mktemp("digits") / "images")


def test_every_digit_is_an_image_in_the_folder_of_its_class(images):
    digits = load_digits()
    files = sorted(images.rglob("*.png"), key=lambda file: file.name)
    assert [int(file.parent.name) for file in files] == digits.target.tolist()
    with Image.open(files[7]) as image:
        small = np.asarray(image.resize((8, 8)), float) * 16 / 255
    assert np.corrcoef(small.ravel(), digits.images[7].ravel())[0, 1] > 0.95


def test_a_folder_of_images_becomes_a_front(images, examples, run_command, tmp_path):
    few = tmp_path / "few"
    for file in (file for label in sorted(images.iterdir()) for file in sorted(label.iterdir())[:OF_EACH_CLASS]):
        copy = few / f"digit-{file.parent.name}" / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    script = examples / "own-data" / "search.py"
    said = run_command(
        sys.executable, script, few, "--quick", "--results", "own", "--port", free_port(), folder=tmp_path
    )
    assert f"$ nni-earlyexit data check folder:{few}" in said
    written = json.loads((tmp_path / "own" / "front.json").read_text())
    assert 1 <= written["trials"] <= 4  # a busy machine ends it by its time
    for member in written["front"]:
        network = EarlyExitNetwork.load(member["trial_folder"])
        assert network.class_names == tuple(f"digit-{number}" for number in range(10))
        assert member["architecture"] in said
