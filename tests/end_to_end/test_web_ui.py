"""What someone sees who watches an experiment in NNI's web UI, in a real browser."""

from __future__ import annotations

import itertools
from io import BytesIO

import numpy as np
import pytest
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
        trialCommand=f"python -m nni_earlyexit.trial --epochs {EPOCHS} --threads 1",
        maxTrialNumber=TRIALS,
        tuner={"name": "EarlyExit", "classArgs": {"space": "digits"}},
    )
    running.wait()
    return running


@pytest.fixture
def page(browser, experiment):
    browser.get(f"{experiment.manager.address}/detail")
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


@pytest.mark.parametrize("metric", ["accuracy", "avg_macs", "exit3_accuracy"])
def test_metrics_can_be_selected(page, metric):
    names = choose(page, "default", metric)
    assert {"default", "accuracy", "avg_macs", "full_macs", "feasible", "exit0_share"} <= set(names)
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


def test_architecture_choices_are_readable_axes_under_hyper_parameters(page, tmp_path):
    axes = ["stage0_depth", "stage0_block0", "exit0_present", "exit0_layer0", "exit2_present"]
    click(page, "Hyper-parameter")
    click(page, "Add/Remove axes")
    dialog = wait(page).until(lambda d: d.find_element(By.CSS_SELECTOR, ".ms-Dialog-main"))
    boxes = {text(box): box for box in dialog.find_elements(By.CSS_SELECTOR, ".ms-Checkbox-text")}
    boxes["Select all"].click()
    for axis in [*axes, "accuracy"]:
        boxes[axis].click()
    next(b for b in dialog.find_elements(By.TAG_NAME, "button") if text(b) == "Save").click()

    # read in one step, because the page draws its labels again and again
    read = """return [...document.querySelectorAll("svg text")].map(label => {
        const box = label.getBoundingClientRect();
        return [label.textContent.trim(), box.left, box.right];
    })"""

    def titles_are_apart(browser):
        """All of them are there and none covers another one; while the page still draws, they may lie anywhere."""
        ends = sorted((left, right) for name, left, right in browser.execute_script(read) if name in axes)
        apart = all(left_end < right_start for (_, left_end), (right_start, _) in itertools.pairwise(ends))
        return len(ends) == len(axes) and apart

    wait(page).until(titles_are_apart)
    page.save_screenshot(str(tmp_path / "hyper-parameters.png"))
    ticks = {"yes", "no", "ds_k3", "mb_k3_e4", "fused_k3_e2"}
    wait(page).until(lambda d: ticks <= {name for name, _, _ in d.execute_script(read)})
