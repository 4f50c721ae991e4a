"""The page of examples/browser in a real browser, beside what Python says to the same pictures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.deploy import Wish, export
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.one_network import train_one
from nni_earlyexit.runtime import Bundle, OnnxPredictor
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.amounts import format_macs
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from sklearn.datasets import load_digits
from support import eventually, free_port

sys.path.append(str(Path(__file__).parents[2] / "examples" / "browser"))
import prepare

pytestmark = pytest.mark.slow

PICTURES = 40


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, digits_space):
    """A network with three exits that has learned a little, so that pictures leave at all of them."""
    folder = tmp_path_factory.mktemp("bundle")
    sample, _ = digits_space.cheapest(exit=-1)
    sample = digits_space.canonical({**sample, "exit0_present": "yes", "exit0_depth": 1, "exit1_present": "yes"})
    settings = Settings.from_options(epochs=3, threads=1, tensorboard=False)
    train_one(digits_space, sample, settings, folder / "net", lambda line: None)
    trial = record.load(folder / "net")
    chosen = Wish.parse("max accuracy").settings(trial.settings)
    return export(trial, folder / "bundle", chosen, keep_exits=True, onnx=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory, bundle):
    """A folder with two pages, one of which has a bundle whose measure is the learned one."""
    if not shutil.which("npm"):
        pytest.skip("needs npm, which brings onnxruntime-web")
    root = tmp_path_factory.mktemp("root")
    command = [sys.executable, prepare.__file__, str(bundle.folder), "--data", "digits"]
    command += ["--pictures", str(PICTURES), "--out", str(root / "digits")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and any(word in done.stderr for word in ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN")):
        pytest.skip(f"npm cannot bring onnxruntime-web: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr
    shutil.copytree(root / "digits", root / "learned")
    policies = json.loads((root / "learned" / "policy.json").read_text())
    policies["float32"]["policy"]["confidence"] = "learned"
    (root / "learned" / "policy.json").write_text(json.dumps(policies))
    return root


@pytest.fixture(scope="module")
def address(root):
    """Where the folder is served, as the README says."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(root), str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"

    def answers():
        assert server.poll() is None
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return True

    try:
        eventually(answers)
        yield address
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def page(browser, address):
    browser.get(f"{address}digits/")
    wait(browser)
    return browser


@pytest.fixture(scope="module")
def pictures(root):
    shape = json.loads((root / "digits" / "pictures.json").read_text())["shape"]
    return np.fromfile(root / "digits" / "pictures.bin", "<f4").reshape(shape)


@pytest.fixture(scope="module")
def predictor(bundle):
    return OnnxPredictor(bundle, threads=1)


def wait(browser):
    """Until the page has answered every picture."""
    main = browser.find_element(By.TAG_NAME, "main")
    WebDriverWait(browser, 60).until(lambda _: main.get_attribute("aria-busy") == "false")


def text(browser, name):
    return browser.find_element(By.ID, name).text


def shown(browser):
    """Class and exit of every picture, as the page shows them."""
    read = """return [...document.querySelectorAll("figure")].map(figure =>
        [".answer", ".place"].map(part => figure.querySelector(part).textContent.split(" ")[1]))"""
    return [(int(answer), int(exit)) for answer, exit in browser.execute_script(read)]


def move_to(browser, point):
    """Drag the slider to a point of the trade-off, past the cheapest one."""
    browser.execute_script(
        """const slider = document.getElementById("budget");
        for (const value of [0, arguments[0]]) {
            slider.value = value;
            slider.dispatchEvent(new Event("input"));
        }""",
        point,
    )
    wait(browser)


def answers(predictor, pictures, policy):
    """Class and exit of every picture, as Python says them, one at a time."""
    predictor.policy = policy
    rows = [predictor(picture) for picture in pictures]
    return [(int(row.classes[0]), int(row.exits[0])) for row in rows]


def test_pictures_are_of_the_test_split_with_their_classes(root, pictures):
    digits = load_digits()
    of_images = {image.tobytes(): label for image, label in zip(digits.images, digits.target, strict=True)}
    classes = json.loads((root / "digits" / "pictures.json").read_text())["classes"]
    assert pictures.shape == (PICTURES, 1, 8, 8)
    assert [of_images[(picture[0] * 16.0).astype(float).tobytes()] for picture in pictures] == classes


def test_every_picture_has_the_class_and_the_exit_that_python_gives(page, predictor, bundle, pictures, root):
    own = answers(predictor, pictures, bundle.policy)
    assert shown(page) == own
    classes = json.loads((root / "digits" / "pictures.json").read_text())["classes"]
    wrong = [answer != label for (answer, _), label in zip(own, classes, strict=True)]
    figures = page.find_elements(By.TAG_NAME, "figure")
    assert ["wrong" in figure.get_attribute("class") for figure in figures] == wrong
    assert float(text(page, "right").split()[0]) == pytest.approx(100 - 100 * np.mean(wrong), abs=0.51)
    spent = np.mean([bundle.costs_under(bundle.policy)[exit] for _, exit in own])
    assert text(page, "macs") == format_macs(spent)
    assert text(page, "without-macs").endswith(f" {format_macs(bundle.architecture.static_macs)} without exits")
    times = [float(element.text.removesuffix(" ms")) for element in page.find_elements(By.CLASS_NAME, "time")]
    assert len(times) == PICTURES


def test_the_slider_chooses_the_policies_of_the_bundle(page, predictor, bundle, pictures):
    front = bundle.fit().family.front
    assert len(front) > 3
    exits = set()
    for point in {0, len(front) // 3, 2 * len(front) // 3, len(front) - 1}:
        policy = bundle.policy_at(max_cost=front.avg_cost[point], tolerance=0)
        move_to(page, point)
        own = answers(predictor, pictures, policy)
        assert shown(page) == own
        exits |= {exit for _, exit in own}
        promised = bundle.fit().family.test_shares[point]
        seen = np.bincount([exit for _, exit in own], minlength=3) / len(own)
        rows = [row.text.split() for row in page.find_elements(By.CSS_SELECTOR, "#exits > .exit")]
        for row, here, there in zip(rows, seen, promised, strict=True):
            assert int(row[-4]) == pytest.approx(100 * here, abs=0.51)
            assert int(row[-2][1:]) == pytest.approx(100 * there, abs=0.51)
    assert exits == {0, 1, 2}
    page.find_element(By.ID, "exported").click()
    wait(page)
    assert shown(page) == answers(predictor, pictures, bundle.policy)


MEASURES = {
    "max_prob": (0.6, 0.6, 0.55, 0.5),
    "entropy": (0.5, 0.5, 0.45, 0.4),
    "margin": (0.4, 0.4, 0.35, 0.3),
    "energy": (2.9, 2.9, 2.7, 2.6),
    "patience": (5.0, 5.0, 2.0, 1.0),
}
"""Cutoffs that inputs of the next test are on both sides of."""


@pytest.mark.parametrize("dropped", [None, 0, 1])
@pytest.mark.parametrize("temperatures", [None, (0.5, 2.0, 1.3, 0.8, 1.0)])
@pytest.mark.parametrize("measure", MEASURES)
def test_its_decisions_are_those_of_python(page, address, rng, measure, temperatures, dropped):
    inputs = 300
    logits = (rng.normal(size=(inputs, 1, 10)) + rng.normal(size=(inputs, 5, 10))).astype(np.float32)
    cutoffs = [*MEASURES[measure], -np.inf]
    if dropped is not None:
        cutoffs[dropped] = np.inf
    policy = ExitPolicy(tuple(cutoffs), measure, temperatures)
    code = """
        const [address, data, logits, done] = arguments;
        import(address).then(({ Policy }) => {
            const policy = new Policy(data);
            done(logits.map(own => {
                const kept = policy.kept.map(exit => new Float32Array(own[exit]));
                return policy.kept.find((exit, k) => policy.leaves(kept.slice(0, k + 1), exit));
            }));
        }).catch(error => done(String(error)));"""
    exits = page.execute_async_script(code, f"{address}digits/early_exits.js", policy.to_dict(), logits.tolist())
    assert exits == policy.exits(logits).tolist()
    assert len(set(exits)) > 1


def test_nothing_comes_from_elsewhere_and_nothing_fails(page, address):
    read = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    names = page.execute_script(read)
    assert any(name.endswith("segment2.onnx") for name in names)
    assert all(name.startswith(address) for name in names)
    assert page.get_log("browser") == []


def test_a_measure_that_the_page_does_not_have_is_said(page, address):
    page.switch_to.new_window("tab")
    try:
        page.get(f"{address}learned/")
        wait(page)
        assert "measure of this bundle is “learned”" in text(page, "state")
        assert "onnx/nested.onnx" in text(page, "state")
    finally:
        page.close()
        page.switch_to.window(page.window_handles[0])


def test_what_cannot_be_prepared_is_refused(bundle, tmp_path, monkeypatch):
    def prepared(bundle, out, count=3):
        prepare.prepare(bundle.folder, DataSettings(), out, count)

    with pytest.raises(ValueError, match="pictures: 0 is not possible"):
        prepared(bundle, tmp_path / "new", 0)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="holds something already"):
        prepared(bundle, tmp_path)
    segment = bundle.file("onnx/segment1.onnx")
    copy = shutil.copytree(bundle.folder, tmp_path / "copy")
    (copy / "onnx" / segment.name).write_bytes(b"")
    with pytest.raises(ValueError, match=segment.name):
        prepared(Bundle.load(copy), tmp_path / "new")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="npm: it is not installed"):
        prepared(bundle, tmp_path / "new")
    assert not (tmp_path / "new").exists()  # so that the same command can be given again
