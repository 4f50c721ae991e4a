"""Requests to NNI's manager, here one that answers as a test says. The real one stands in ``tests/faults``."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from nni.runtime.command_channel.http import HttpChannel
from nni_earlyexit.integration import nni_processes, rest, trial_channel
from support import free_port

LIKE_A_MANAGER = "import sys, time; print('ready', flush=True); time.sleep(600)"


@pytest.fixture
def manager(monkeypatch):
    """A server on this machine that gives the ``answers`` (status, body) in turn, and the last one for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            length = int(self.headers.get("Content-Length") or 0)
            server.asked.append((self.command, self.path, self.rfile.read(length)))
            status, body = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        do_PUT = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers = [], [(200, "{}")]
    server.url = f"http://127.0.0.1:{server.server_port}/api"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(rest, "_pauses", lambda: iter([0.01] * 1000))
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("failure", [(500, "{}"), (502, "<html>"), (200, "<html>"), (200, "")])
def test_a_failure_is_asked_again(manager, failure):
    manager.answers = [failure, failure, (200, '{"status": "RUNNING"}')]
    assert rest.get(manager.url, "check-status") == {"status": "RUNNING"}
    assert len(manager.asked) == 3


def test_a_refusal_is_final(manager):
    manager.answers = [(404, '{"error": "no such trial"}')]
    with pytest.raises(rest.Refused, match='refuses .*/trial-jobs/x: 404 {"error": "no such trial"}'):
        rest.get(manager.url, "trial-jobs/x")
    assert len(manager.asked) == 1


WITHOUT_A_COMMAND_LINE = """
import ctypes, struct, time
libc = ctypes.CDLL(None)
libc.sbrk.restype = ctypes.c_ulong
number = [0, 0, 0, *open("/proc/self/stat").read().rpartition(")")[2].split()]  # by their numbers in proc(5)
code, stack, data, heap, words, variables = (number[n : n + 2] for n in (26, 28, 45, 47, 48, 50))
of_memory = map(int, [*code, *data, heap[0], libc.sbrk(0), stack[0], words[0], words[0], *variables, 0])
SET_MM, MAP = 35, 14
layout = struct.pack("12QIi", *of_memory, 0, -1)
print(libc.prctl(SET_MM, MAP, layout, ctypes.c_ulong(len(layout)), 0), flush=True)
time.sleep(600)
"""
"""As a program looks that the system still loads."""


class Clock:
    """Time that passes only while somebody sleeps."""

    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_patience_has_an_end(manager, monkeypatch):
    monkeypatch.setattr(rest, "time", Clock())
    manager.answers = [(500, "busy")]
    with pytest.raises(rest.NoAnswer, match=r"NNI's manager did not answer http://.*/check-status for 0 s: 500 busy"):
        rest.get(manager.url, "check-status", patience_s=0.2)
    assert len(manager.asked) > 3


def test_a_manager_that_is_gone_is_not_waited_for():
    start = time.monotonic()
    with pytest.raises(rest.NoAnswer, match="it is not running"):
        rest.get(f"http://127.0.0.1:{free_port()}", "check-status")
    assert time.monotonic() - start < rest.PATIENCE_S / 2


def test_a_manager_that_may_just_have_begun_is_waited_for():
    with subprocess.Popen([sys.executable, "-c", WITHOUT_A_COMMAND_LINE], stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout.readline() != "0\n":
                pytest.skip("this kernel does not let a program take its command line away")
            assert nni_processes.one_begins()
            with pytest.raises(rest.NoAnswer, match="refused"):
                rest.get(f"http://127.0.0.1:{free_port()}", "check-status", patience_s=1)
        finally:
            process.kill()


def test_a_connection_that_is_refused_while_the_managers_process_lives_counts_as_busy(tmp_path):
    port = free_port()
    options = ["--port", str(port), "--experiment-id", "abc", "--experiments-directory", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", LIKE_A_MANAGER, *options], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            (found,) = (manager for manager in nni_processes.managers() if manager.port == port)
            assert (found.id, found.folder, found.file, found.starter) == ("abc", tmp_path / "abc", None, None)
            with pytest.raises(rest.NoAnswer, match="refused"):
                rest.get(f"http://127.0.0.1:{port}", "check-status", patience_s=1)
        finally:
            process.kill()


def test_no_proxy_is_used(manager, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert rest.get(manager.url, "check-status") == {}


def test_a_trials_report_is_sent_until_it_arrives(manager):
    trial_channel.be_patient()
    manager.answers = [(500, ""), (503, ""), (200, "")]
    report = {"type": "metric", "metric": json.dumps({"type": "PERIODICAL", "value": "0.5"})}
    HttpChannel(manager.url).send(report)
    assert [json.loads(body) for _, _, body in manager.asked] == [report] * 3


@pytest.mark.parametrize(
    ("finals", "sent"),
    [([(200, '[{"data": "0.5"}]')], 1), ([(200, "[]"), (200, "")], 2), ([(500, ""), (200, '[{"data": "0.5"}]')], 1)],
)
def test_a_final_result_is_only_sent_again_if_it_has_not_arrived(manager, monkeypatch, finals, sent):
    trial_channel.be_patient()
    monkeypatch.setenv("NNI_TRIAL_JOB_ID", "abc")
    manager.answers = [(500, ""), *finals]
    final = json.dumps({"type": "FINAL", "value": "0.5"})
    HttpChannel(f"http://127.0.0.1:{manager.server_port}/env/local-env/abc").send({"type": "metric", "metric": final})
    assert [command for command, *_ in manager.asked].count("PUT") == sent
    assert manager.asked[1][:2] == ("GET", "/api/v1/nni/metric-data/abc?type=FINAL")


@pytest.mark.parametrize(
    ("answers", "received"),
    [
        ([(408, ""), (408, ""), (200, '{"type": "parameter"}')], {"type": "parameter"}),
        ([(410, "Gone")], None),
        ([(408, "")], None),
    ],
)
def test_a_trial_waits_for_its_parameters_but_not_for_ever(manager, monkeypatch, answers, received):
    trial_channel.be_patient()
    monkeypatch.setattr(trial_channel, "PARAMETERS_S", 0.5)
    monkeypatch.setenv("NNI_PLATFORM", "local")
    manager.answers = answers
    assert HttpChannel(manager.url).receive() == received


def test_on_a_worker_a_final_result_is_sent_until_it_arrives(manager, monkeypatch):
    trial_channel.be_patient()
    monkeypatch.setenv("NNI_TRIAL_JOB_ID", "abc")
    monkeypatch.setenv("NNI_PLATFORM", "remote")
    manager.answers = [(500, ""), (503, ""), (200, "")]  # the keeper there knows nothing of results
    final = json.dumps({"type": "FINAL", "value": "0.5"})
    HttpChannel(f"http://127.0.0.1:{manager.server_port}/env/worker/abc").send({"type": "metric", "metric": final})
    assert [command for command, *_ in manager.asked] == ["PUT"] * 3


def test_on_a_worker_a_keeper_that_refuses_connections_is_waited_for(monkeypatch):
    monkeypatch.setenv("NNI_PLATFORM", "remote")
    with pytest.raises(rest.NoAnswer, match="refused"):
        rest.get(f"http://127.0.0.1:{free_port()}", "check-status", patience_s=1)
