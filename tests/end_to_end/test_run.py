"""``nni-earlyexit run``: what ``make demo`` does, on a smaller experiment."""

from __future__ import annotations

import json
import os
import re
import signal

import psutil
import pytest
from PIL import Image
from support import (
    free_port,
    launch,
    launch_and_wait_for_a_trial,
    left_behind,
    lines_until,
    listening_addresses,
)

pytestmark = pytest.mark.nni


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("finished"), free_port()
    process = launch(
        folder,
        port,
        trialCommand="python -m nni_earlyexit.trial --epochs 2 --threads 1 --max-avg-macs 600k",
        maxTrialNumber=4,
    )
    said = lines_until(process, "web UI")
    addresses = listening_addresses(port)
    said += process.stdout.readlines()
    return folder, port, process.wait(), "".join(said), addresses


def test_it_ends_well_and_says_where_the_web_ui_is(finished):
    _, port, code, said, _ = finished
    assert code == 0, said
    assert f"http://127.0.0.1:{port}" in said


def test_the_web_server_listens_on_loopback_only(finished):
    assert finished[4] == {"127.0.0.1"}


def test_it_shows_trials_done_best_so_far_and_time_left(finished):
    assert re.search(
        r"[1-4]/4 trials, best so far 0\.\d+ at \S+ average MACs, (about \d+:\d\d left|the last)", finished[3]
    )


def test_it_writes_the_front_as_table_json_and_picture(finished):
    folder, _, _, said, _ = finished
    assert re.search(r"# +trial +test accuracy +avg MACs +of full +share per exit +static +remark", said)
    written = json.loads((folder / "results" / "front.json").read_text())
    assert written["trials"] == 4
    for member in written["front"]:
        assert 0 < member["test"]["avg_macs"] <= member["full_macs"] == member["exit_costs"][-1]
        assert sum(member["test"]["shares"]) == pytest.approx(1)
        assert member["policy"]["cutoffs"][-1] is None
        assert member["architecture"] in said
    with Image.open(folder / "results" / "front.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 800


def test_it_stops_what_it_started(finished):
    folder, port, *_ = finished
    assert left_behind(folder) == []
    assert listening_addresses(port) == set()


def test_ctrl_c_leaves_no_process_and_keeps_every_finished_trial(tmp_path):
    port, process, said = launch_and_wait_for_a_trial(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    said += process.stdout.readlines()
    assert process.wait() == 130, "".join(said)
    assert left_behind(tmp_path) == []
    assert listening_addresses(port) == set()
    finished = list(tmp_path.glob("nni/_latest/environments/*/trials/*/trial.json"))
    assert json.loads((tmp_path / "results" / "front.json").read_text())["trials"] == len(finished) >= 1


@pytest.mark.long
def test_a_killed_manager_leaves_no_process_and_keeps_every_finished_trial(tmp_path):
    port, process, said = launch_and_wait_for_a_trial(tmp_path)
    (manager,) = [c.pid for c in psutil.net_connections("inet") if c.status == "LISTEN" and c.laddr.port == port]
    os.kill(manager, signal.SIGKILL)
    said = "".join([*said, *process.stdout.readlines()])
    assert process.wait() == 1, said
    assert "NNI's manager does not answer any more; finished trials are kept" in said
    assert left_behind(tmp_path) == []
    assert json.loads((tmp_path / "results" / "front.json").read_text())["trials"] >= 1


def test_an_experiment_that_fails_says_why_and_is_stopped(tmp_path):
    (tmp_path / "broken.py").write_text(
        "from nni.tuner import Tuner\nclass Broken(Tuner):\n    def __init__(self): raise ValueError('no such luck')\n"
    )
    port = free_port()
    process = launch(tmp_path, port, tuner={"className": "broken.Broken", "codeDirectory": str(tmp_path)})
    said = process.stdout.read()
    assert process.wait() == 1
    assert "NNI's experiment failed: no such luck" in said
    assert "no finished trial" in said
    assert left_behind(tmp_path) == []
    assert not (tmp_path / "results").exists()


def test_a_busy_port_is_said_at_once(tmp_path, finished):
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = launch(tmp_path, port)
        said = process.stdout.read()
    assert process.wait() == 2
    assert (
        said.strip()
        == f"nni-earlyexit: port: {port} is in use; stop what listens there or choose another one with --port"
    )
    assert not (tmp_path / "results").exists()
