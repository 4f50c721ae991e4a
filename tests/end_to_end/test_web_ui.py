"""What someone sees who watches an experiment in NNI's web UI, in a real browser."""

from __future__ import annotations

import itertools
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
import requests
from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.nni

TRIALS = 3
EPOCHS = 3


@pytest.fixture(scope="module")
def experiment(start):
    running = start(
        trialCommand=f"python -m nni_earlyexit.trial --epochs {EPOCHS} --threads 1 --start warm",
        maxTrialNumber=TRIALS,
        tuner={"name": "EarlyExit", "classArgs": {"space": "digits"}},
    )
    running.wait()
    return running


@pytest.fixture
def page(browser, experiment):
    browser.get(f"{experiment.manager.address}/detail")
    browser.execute_script("localStorage.clear()")  # what another test chose to see
    browser.refresh()
    wait(browser).until(lambda d: len(rows(d)) == TRIALS)
    return browser


def wait(browser):
    # the page may draw an element again while it is looked at
    return WebDriverWait(browser, 60, ignored_exceptions=[StaleElementReferenceException])


def rows(browser):
    return browser.find_elements(By.CSS_SELECTOR, ".ms-DetailsRow")


def text(element):
    """What an element says, even while it still fades in."""
    return (element.get_attribute("textContent") or "").strip()


def click(browser, label):
    wait(browser).until(lambda d: d.find_element(By.XPATH, f"//*[text()='{label}']").click() or True)


def choose(browser, shown, option):
    """Choose ``option`` in the list that shows ``shown``."""
    box = next(b for b in browser.find_elements(By.CSS_SELECTOR, "[role=combobox]") if b.text.startswith(shown))
    box.click()
    options = wait(browser).until(lambda d: d.find_elements(By.CSS_SELECTOR, "[role=option]"))
    names = [text(o) for o in options]
    options[names.index(option)].click()
    return names


def colours(element):
    """How many clearly coloured pixels an element shows."""
    pixels = np.asarray(Image.open(BytesIO(element.screenshot_as_png)).convert("RGB")).astype(int)
    return int(((pixels.max(axis=-1) - pixels.min(axis=-1)) > 60).sum())


def test_all_trials_are_shown_as_succeeded(page):
    assert [row.text.count("SUCCEEDED") for row in rows(page)] == [1] * TRIALS


@pytest.mark.parametrize("metric", ["accuracy", "avg_macs"])
def test_metrics_can_be_selected(page, metric):
    names = choose(page, "default", metric)
    assert names == ["default", "accuracy", "avg_macs", "full_macs", "params"]
    wait(page).until(lambda d: colours(d.find_element(By.TAG_NAME, "canvas")) > 10)


def test_intermediate_curves_are_drawn(page, experiment):
    reported = experiment.manager.get("metric-data?type=PERIODICAL")
    assert len(reported) == TRIALS * EPOCHS
    click(page, "Intermediate result")
    for row in rows(page):
        row.find_element(By.CSS_SELECTOR, ".ms-Checkbox-label").click()
    wait(page).until(lambda d: colours(d.find_element(By.TAG_NAME, "canvas")) > 300)


def test_architecture_is_readable_in_a_trial(page):
    rows(page)[0].find_element(By.CSS_SELECTOR, "[data-icon-name=ChevronRight]").click()
    shown = wait(page).until(lambda d: "stage0_block0" in d.find_element(By.TAG_NAME, "body").text)
    assert shown
    page_text = page.find_element(By.TAG_NAME, "body").text
    for choice in ("digits/2", "stage0_depth", "stage3_block0", "exit0_present", "exit2_layer1"):
        assert choice in page_text


def titles(browser):
    """Titles of the axes under "Hyper-parameter", with their ends in pixels, from left to right."""
    # read in one step, because the page draws its labels again and again
    read = """return [...document.querySelectorAll(".parcoords .dimension .label")].map(label => {
        const box = label.getBoundingClientRect();
        return [box.left, box.right, label.textContent.trim()];
    })"""
    return sorted(browser.execute_script(read))


def are_apart(titles):
    return all(end < start for (_, end, _), (start, _, _) in itertools.pairwise(titles))


def test_few_axes_are_drawn_under_hyper_parameters_and_the_others_can_be_added(page):
    click(page, "Hyper-parameter")
    first = wait(page).until(titles)
    names = [name for _, _, name in first]
    assert len(names) <= 12
    assert {"stage0_depth", "exit2_present", "accuracy", "avg_macs"} < set(names)
    assert are_apart(first)
    click(page, "Add/Remove axes")
    dialog = wait(page).until(lambda d: d.find_element(By.CSS_SELECTOR, ".ms-Dialog-main"))
    offered = [text(box) for box in dialog.find_elements(By.CSS_SELECTOR, ".ms-Checkbox-text")]
    assert {*names, "exit0_head", "stage0_block0", "default"} < set(offered)
    assert "details" not in offered


def test_trials_can_be_compared(page):
    for row in rows(page)[:2]:
        row.find_element(By.CSS_SELECTOR, ".ms-Checkbox-label").click()
    click(page, "Compare")
    table = wait(page).until(lambda d: d.find_element(By.CSS_SELECTOR, ".compare-modal-table"))
    assert "Metric: accuracy" in text(table)


def test_the_tensorboard_button_shows_the_curves_of_the_chosen_trial(page, experiment):
    row = rows(page)[0]
    trial = next(t["trialJobId"] for t in experiment.manager.trials() if t["trialJobId"] in text(row))
    row.find_element(By.CSS_SELECTOR, ".ms-Checkbox-label").click()
    click(page, "TensorBoard")
    (task,) = wait(page).until(lambda d: experiment.manager.get("tensorboard-tasks"))
    try:

        def runs(browser):
            with suppress(requests.ConnectionError):
                return requests.get(f"http://127.0.0.1:{task['port']}/data/runs", timeout=30).json()

        shown = wait(page).until(runs)
        assert all(trial in run for run in shown)
    finally:
        requests.delete(f"{experiment.manager.address}/api/v1/nni/tensorboard/{task['id']}", timeout=60)


def test_architecture_choices_are_readable_axes_under_hyper_parameters(page, tmp_path):
    axes = ["stage0_depth", "stage0_block0", "exit0_present", "exit0_layer0", "exit2_present"]
    click(page, "Hyper-parameter")
    click(page, "Add/Remove axes")
    dialog = wait(page).until(lambda d: d.find_element(By.CSS_SELECTOR, ".ms-Dialog-main"))
    boxes = {text(box): box for box in dialog.find_elements(By.CSS_SELECTOR, ".ms-Checkbox-text")}
    for _ in range(2):  # all, then none
        boxes["Select all"].click()
    for axis in [*axes, "accuracy"]:
        boxes[axis].click()
    next(b for b in dialog.find_elements(By.TAG_NAME, "button") if text(b) == "Save").click()

    def titles_are_apart(browser):
        """All of them are there and none covers another one; while the page still draws, they may lie anywhere."""
        drawn = [title for title in titles(browser) if title[-1] in axes]
        return len(drawn) == len(axes) and are_apart(drawn)

    wait(page).until(titles_are_apart)
    page.save_screenshot(str(tmp_path / "hyper-parameters.png"))
    ticks = {"yes", "no", "ds_k3", "mb_k3_e4", "fused_k3_e2"}
    wait(page).until(lambda d: ticks <= {text(tick) for tick in d.find_elements(By.CSS_SELECTOR, "svg text")})
