"""The report in a real browser: what it says after clicks and keys, beside the package's own functions."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from nni_earlyexit.report.html import importance, pictures
from nni_earlyexit.report.html.experiment import read
from nni_earlyexit.report.html.network import fit
from nni_earlyexit.report.html.page import write_report
from nni_earlyexit.thresholds.operating_point import Unreachable
from nni_earlyexit.utils.amounts import format_macs
from searches import FAILURES, write_search
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits_space, two_exits):
    return write_search(tmp_path_factory.mktemp("search"), digits_space, two_exits)


@pytest.fixture(scope="module")
def experiment(folder):
    return read(folder)


@pytest.fixture(scope="module")
def networks(experiment):
    """The networks of the front, fitted by the package."""
    return [fit(trial) for trial in experiment.front]


@pytest.fixture(scope="module")
def report(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance, "LEAST_TRIALS", 5)
        write_report([folder], path, lambda line: None)
    return path


@pytest.fixture(scope="module")
def page(browser, report):
    opened(browser, report)
    return browser


def opened(browser, path):
    browser.get(Path(path).as_uri())
    drawn(browser)


def drawn(browser):
    WebDriverWait(browser, 60).until(
        lambda d: d.execute_script("return document.querySelector('main')?.getAttribute('aria-busy')") == "false"
    )


def text(page, name):
    return page.execute_script("return document.getElementById(arguments[0]).textContent", name)


def percent(share, digits=2):
    return f"{100 * share:.{digits}f} %"


def open_network(page, number):
    page.find_element(By.CSS_SELECTOR, f"[aria-label='Open network {number}']").send_keys(Keys.ENTER)
    WebDriverWait(page, 20).until(lambda d: text(d, "opened").startswith(f"network {number},"))


def check_shown(page, fitted, point):
    """The page shows the numbers of the optimizer at a point of its front."""
    own = fitted.points[point]
    assert text(page, "now-accuracy") == percent(own.accuracy)
    assert text(page, "now-macs") == format_macs(own.avg_cost)
    assert text(page, "now-share") == percent(own.avg_cost / fitted.exit_costs[-1], 1)
    kept = fitted.optimizer.judge(*fitted.held_out, points=[own])[0]
    assert (text(page, "now-kept"), text(page, "now-kept-macs")) == (percent(kept.accuracy), format_macs(kept.avg_cost))
    rows = page.execute_script(
        "return [...document.querySelectorAll('#exits tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert [row[3] for row in rows] == [percent(share) for share in own.shares]
    assert [row[2] for row in rows] == [percent(accuracy) for accuracy in fitted.optimizer.single_exit_accuracies_]
    assert [row[1] for row in rows] == [format_macs(cost) for cost in fitted.exit_costs]
    for row, cutoff in zip(rows[:-1], own.cutoffs, strict=False):
        assert row[4] == "dropped" if np.isinf(cutoff) else float(row[4]) == pytest.approx(cutoff, rel=1e-3)


def test_the_slider_moves_the_budget_and_shows_what_the_optimizer_says(page, networks):
    for number, fitted in enumerate(networks, 1):
        open_network(page, number)
        check_shown(page, fitted, fitted.reported)
        slider = page.find_element(By.ID, "budget")
        slider.send_keys(Keys.HOME)
        check_shown(page, fitted, 0)
        slider.send_keys(Keys.ARROW_RIGHT)
        check_shown(page, fitted, min(1, len(fitted.points) - 1))
        slider.send_keys(Keys.END)
        check_shown(page, fitted, len(fitted.points) - 1)
        said = slider.get_attribute("aria-valuetext")
        assert format_macs(fitted.points[len(fitted.points) - 1].avg_cost) in said
        # a budget of a point is met by that point, as the optimizer picks it
        best = fitted.optimizer.point_at(max_cost=fitted.points[0].avg_cost, tolerance=0)
        assert best == fitted.points[0]


def test_pictures_stand_at_the_exit_where_the_policy_lets_them_go(page, networks):
    members = pictures.chosen(networks)
    fitted = networks[-1]
    open_network(page, len(networks))
    for point, key in ((0, Keys.HOME), (len(fitted.points) - 1, Keys.END)):
        page.find_element(By.ID, "budget").send_keys(key)
        exits = fitted.optimizer.policy_of(fitted.points[point]).exits(fitted.logits[members])
        shown = page.execute_script(
            "return [...document.querySelectorAll('#pictures ul')].map(list => [list.children.length, "
            "list.querySelectorAll('.wrong').length])"
        )
        wrong = fitted.logits[members, exits].argmax(axis=-1) != fitted.labels[members]
        expected = [[int((exits == exit).sum()), int(wrong[exits == exit].sum())] for exit in range(len(shown))]
        assert shown == expected
    loaded = "return [...document.querySelectorAll('#pictures img')].every(image => image.naturalWidth === 8)"
    WebDriverWait(page, 20).until(lambda d: d.execute_script(loaded))


@pytest.mark.parametrize("wish", ["budget", "accuracy"])
def test_a_network_is_picked_by_what_is_typed(page, networks, wish):
    cheapest = min(fitted.points[0].avg_cost for fitted in networks)
    best = max(fitted.points[len(fitted.points) - 1].accuracy for fitted in networks)
    goal = {"max_cost": 1.3 * cheapest, "tolerance": 0} if wish == "budget" else {"min_accuracy": round(best - 0.02, 3)}
    points = []
    for number, fitted in enumerate(networks, 1):
        try:
            points.append((fitted.optimizer.point_at(**goal), number))
        except Unreachable:
            continue
    if wish == "budget":
        point, number = min(points, key=lambda own: (-own[0].accuracy, own[0].avg_cost))
    else:
        point, number = min(points, key=lambda own: (own[0].avg_cost, -own[0].accuracy))
    field = page.find_element(By.ID, "wish")
    field.clear()
    typed = str(goal["max_cost"]) if wish == "budget" else f"{100 * goal['min_accuracy']:.1f}%"
    field.send_keys(typed, Keys.ENTER)
    assert text(page, "picked").startswith(f"network {number} ")
    assert f"{percent(point.accuracy)} at {format_macs(point.avg_cost)} average MACs" in text(page, "picked")
    assert text(page, "now-accuracy") == percent(point.accuracy)


def test_what_cannot_be_picked_is_said(page):
    field = page.find_element(By.ID, "wish")
    for typed, said in (
        ("much", "“much” is not possible"),
        ("1", "No network"),
        ("5", "No network of the front is that cheap"),
    ):
        field.clear()
        field.send_keys(typed, Keys.ENTER)
        assert text(page, "picked").startswith(said)


def shown_trials(page):
    return page.execute_script(
        "return [...document.querySelectorAll('#table tbody tr')].map(row => row.cells[0].textContent)"
    )


def fill(page, **fields):
    for name, value in {"words": "", "least-accuracy": "", "most-macs": "", **fields}.items():
        field = page.find_element(By.ID, name)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.DELETE, value)


def test_the_table_is_filtered_and_sorted(page, experiment):
    metrics = {trial.folder.name: trial.metrics for trial in experiment.trials}
    fill(page)
    assert shown_trials(page) == sorted(metrics, key=lambda name: -metrics[name]["accuracy"])
    most = sorted(own["avg_macs"] for own in metrics.values())[2]
    fill(page, **{"most-macs": str(most)})
    assert set(shown_trials(page)) == {name for name, own in metrics.items() if own["avg_macs"] <= most}
    fill(page, words="over")
    assert set(shown_trials(page)) == {name for name, own in metrics.items() if not own["feasible"]}
    fill(page, words="fused_k3_e2")
    assert shown_trials(page) == [name for name in metrics if "fused_k3_e2" in experiment.space.describe(
        next(trial.sample for trial in experiment.trials if trial.folder.name == name)
    )]  # fmt: skip
    fill(page)
    page.find_element(By.XPATH, "//th/button[text()='average MACs']").send_keys(Keys.ENTER)
    assert shown_trials(page) == sorted(metrics, key=lambda name: -metrics[name]["avg_macs"])
    page.find_element(By.XPATH, "//th/button[text()='accuracy']").send_keys(Keys.ENTER)


def test_an_axis_of_the_parallel_coordinates_is_narrowed_with_keys_and_filters_the_table(page, experiment):
    fill(page)
    within = {trial.folder.name: trial.metrics["accuracy"] for trial in experiment.within()}
    low, high = min(within.values()), max(within.values())
    find = "return document.querySelector('[data-axis=\"accuracy\"]')"
    page.execute_script(f"{find.removeprefix('return ')}.focus()")
    for _ in range(10):
        ActionChains(page).send_keys(Keys.ARROW_UP).perform()
    assert set(shown_trials(page)) == {name for name, own in within.items() if own >= low + (high - low) / 2 - 1e-9}
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert len(shown_trials(page)) == len(experiment.trials)


def test_an_axis_is_brushed_with_the_pointer(page, experiment):
    fill(page)
    axis = page.execute_script("return document.querySelector('[data-axis=\"avg_macs\"] .rail')")
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", axis)
    height = axis.rect["height"]
    upper_half = ActionChains(page).move_to_element_with_offset(axis, 0, int(-height / 2) + 1).click_and_hold()
    upper_half.move_by_offset(0, int(height / 2)).release().perform()
    costs = {trial.folder.name: trial.metrics["avg_macs"] for trial in experiment.within()}
    middle = (min(costs.values()) + max(costs.values())) / 2
    margin = 0.05 * (max(costs.values()) - min(costs.values()))
    clear = {name: cost > middle for name, cost in costs.items() if abs(cost - middle) > margin}
    shown = shown_trials(page)
    assert {name: name in shown for name in clear} == clear
    page.find_element(By.XPATH, "//button[text()='Free all axes']").send_keys(Keys.ENTER)
    assert len(shown_trials(page)) == len(experiment.trials)


def test_a_click_on_a_network_of_the_front_opens_it(page, networks):
    open_network(page, len(networks))
    place = """
        const chart = document.querySelector("#front .chart");
        chart.scrollIntoView({block: "center", behavior: "instant"});
        const trace = chart.data.find(trace => trace.name === "front");
        const { xaxis, yaxis } = chart._fullLayout;
        const box = chart.getBoundingClientRect();
        return [box.left + xaxis._offset + xaxis.d2p(trace.x[0]), box.top + yaxis._offset + yaxis.d2p(trace.y[0])];"""
    x, y = page.execute_script(place)
    pointer = ActionChains(page)
    pointer.w3c_actions.pointer_action.move_to_location(int(x), int(y))
    pointer.perform()
    hover = "return document.querySelector('#front .hoverlayer')?.textContent ?? ''"
    WebDriverWait(page, 20).until(lambda d: networks[0].trial.folder.name in d.execute_script(hover))
    ActionChains(page).click().perform()
    WebDriverWait(page, 20).until(lambda d: text(d, "opened").startswith("network 1,"))


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_screen_and_is_accessible(page, report, width):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        opened(page, report)
        sizes = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        scroll, client = page.execute_script(sizes)
        assert scroll <= client <= width
        (package,) = find_spec("axe_core_python").submodule_search_locations
        page.execute_script((Path(package) / "axe.min.js").read_text())
        page.set_script_timeout(120)
        violations = page.execute_async_script(
            "const done = arguments[0]; axe.run().then(({ violations, passes }) => done([violations.map("
            "own => `${own.id}: ${own.nodes[0].html}`), passes.map(own => own.id)]))"
        )
        assert violations[0] == []
        assert {"color-contrast", "label", "button-name", "image-alt"} <= set(violations[1])
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_everything_that_acts_is_reached_with_the_tab_key(page, report):
    opened(page, report)
    reached = set()
    for _ in range(150):
        ActionChains(page).send_keys(Keys.TAB).perform()
        name = page.execute_script(
            "const e = document.activeElement; return e.id || e.dataset?.axis || e.getAttribute('aria-label') || e.textContent"
        )
        if name in reached and name == "Skip to the front":
            break
        reached.add(name)
    assert {
        "Skip to the front",
        "wish",
        "Pick",
        "Open network 1",
        "budget",
        "words",
        "most-macs",
        "accuracy",
    } <= reached


def test_what_is_open_is_kept_when_the_page_is_loaded_again(page, networks):
    open_network(page, 1)
    page.find_element(By.ID, "budget").send_keys(Keys.HOME)
    page.refresh()
    drawn(page)
    assert text(page, "opened").startswith("network 1,")
    check_shown(page, networks[0], 0)


@pytest.mark.parametrize("names", [("ddddd",), None], ids=["alike", "all"])
def test_the_axis_of_the_front_has_numbers_however_narrow_it_is(page, folder, tmp_path, names):
    copy = shutil.copytree(folder, tmp_path / "copy")
    for place in (copy / "environments" / "local-env" / "trials").iterdir():
        if names is not None and place.name not in names:
            shutil.rmtree(place)
    write_report([copy], tmp_path / "narrow.html", lambda line: None)
    opened(page, tmp_path / "narrow.html")
    assert len(page.find_elements(By.CSS_SELECTOR, "#front .xtick text")) >= 2
    for button in page.find_elements(By.CSS_SELECTOR, "#front .open-it"):  # not behind a long remark
        assert button.rect["x"] + button.rect["width"] <= page.execute_script("return innerWidth")


def test_failures_and_the_experiment_file_are_there_in_words(page):
    said = text(page, "failures")
    assert any(reason in said for reason in FAILURES.values())
    assert "1 network missed a limit" in said
    assert "1 trial has not ended yet" in said
    assert "trialCommand: python -m nni_earlyexit.trial" in text(page, "reproduce")
    assert "seed1" in text(page, "reproduce")
    assert "What its trials were made with" in text(page, "reproduce")
    for words in ("[object", "undefined", "NaN"):
        assert words not in page.execute_script("return document.body.innerText")


def test_two_searches_stand_side_by_side(page, folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for name in ("ddddd", "fffff"):
        shutil.rmtree(other / "environments" / "local-env" / "trials" / name)
    write_report([folder, other], tmp_path / "both.html", lambda line: None)
    opened(page, tmp_path / "both.html")
    names = page.execute_script("return [...document.querySelectorAll('#front td.text')].map(cell => cell.textContent)")
    assert {folder.name, "other"} <= set(names)
    charts = "return document.querySelectorAll('#progress .chart')[1].data.map(trace => trace.name)"
    assert page.execute_script(charts) == [folder.name, "other"]
    page.execute_script(
        "const which = document.getElementById('which'); which.value = 1; which.dispatchEvent(new Event('change'))"
    )
    assert len(shown_trials(page)) == len(read(other).trials)


def test_while_the_search_runs_it_loads_itself_again_unless_that_is_stopped(page, folder, tmp_path):
    write_report([folder], tmp_path / "live.html", lambda line: None, refresh_s=1)
    opened(page, tmp_path / "live.html")
    marked = "return document.body.dataset.seen"
    page.execute_script("document.body.dataset.seen = 'yes'")
    WebDriverWait(page, 30).until(lambda d: d.execute_script(marked) is None)
    drawn(page)
    page.execute_script("document.getElementById('refresh').click()")
    assert page.execute_script("return sessionStorage.getItem('refresh')") == "no"
    page.refresh()
    drawn(page)
    assert page.execute_script("return document.getElementById('refresh').checked") is False


def test_nothing_is_fetched_and_nothing_fails(page, report):
    opened(page, report)
    assert page.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)"
                               ".filter(name => !name.startsWith('data:'))") == []  # fmt: skip
    assert page.get_log("browser") == []
    assert report.stat().st_size < 2.5e6
    assert json.loads(page.execute_script("return document.getElementById('data').textContent"))["refresh_s"] is None
