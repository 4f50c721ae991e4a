"""The service around a bundle, as a process that clients talk to."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from nni_earlyexit.deploy import EarlyExitPredictor, Wish, export
from nni_earlyexit.deploy.export import test_data as data_of  # pytest would take it for a test
from nni_earlyexit.evaluation import record
from nni_earlyexit.runtime import OnnxPredictor
from support import eventually, free_port

pytest.importorskip("uvicorn")
parser = pytest.importorskip("prometheus_client.parser")
pytestmark = pytest.mark.slow  # starts a service for each set of options

SERVICE = Path(__file__).parents[2] / "examples" / "serve" / "service.py"
MIXED = "65k"
"""A budget at which inputs leave at both exits."""
FOR_EVER_MS = "3600000"


class Running:
    """A service that runs."""

    def __init__(self, bundle, log, *options):
        port = free_port()
        command = [sys.executable, str(SERVICE), str(bundle), "--port", str(port), *options]
        self.url, self.log = f"http://127.0.0.1:{port}", log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream)

    def up(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.health()
        except requests.ConnectionError:
            return None

    def health(self):
        return requests.get(f"{self.url}/health", timeout=60).json()

    def number(self, name, **labels):
        """A number of /metrics; 0 for one that is not there yet."""
        families = parser.text_string_to_metric_families(requests.get(f"{self.url}/metrics", timeout=60).text)
        values = [
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == f"earlyexit_{name}" and sample.labels.items() >= labels.items()
        ]
        return sum(values)

    def post(self, images=None, budget=None, **more):
        """Floats go as JSON, bytes and generators of bytes as they are."""
        if isinstance(images, np.ndarray):
            more["json"] = {"inputs": images.tolist()}
        elif images is not None:
            more.update(data=images, headers={"Content-Type": "application/octet-stream"})
        return requests.post(f"{self.url}/predict", params=budget and {"max_avg_macs": budget}, timeout=120, **more)

    def ended(self):
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def trial(trained_digits):
    return record.load(trained_digits)


@pytest.fixture(scope="module")
def make_bundle(tmp_path_factory, trial):
    settings = Wish.parse("max accuracy").settings(trial.settings)

    def make(**more):
        return export(trial, tmp_path_factory.mktemp("bundle") / "digits", settings, keep_exits=True, **more).folder

    return make


@pytest.fixture(scope="module")
def bundle(make_bundle):
    return make_bundle(onnx=True)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start a service; what a test has not ended is ended after the module's tests."""
    started = []

    def run(folder, *options):
        running = Running(folder, tmp_path_factory.mktemp("service") / "log", *options)
        started.append(running)
        eventually(running.up)
        return running

    yield run
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def service(start, bundle):
    return start(bundle)


@pytest.fixture(scope="module")
def predictor(bundle):
    return OnnxPredictor.load(bundle, threads=1)


@pytest.fixture(scope="module")
def images(predictor, trial):
    """The test split (inputs, 1, 8, 8)."""
    return data_of(predictor.bundle, trial.settings.data, 400)[0]


@pytest.fixture(scope="module")
def expected(predictor):
    """The answers that a predictor gives to images within a budget, without a service."""

    def answer(images, budget=None):
        bundle = predictor.bundle
        predictor.policy = bundle.policy if budget is None else bundle.policy_at(max_cost=float(budget[:-1]) * 1e3)
        return predictor(images)

    return answer


def same(response, answers):
    assert response.status_code == 200, response.text
    got = response.json()["answers"]
    assert [one["class"] for one in got] == answers.classes.tolist()
    assert [one["name"] for one in got] == [str(c) for c in answers.classes]
    assert [one["exit"] for one in got] == answers.exits.tolist()
    assert [one["macs"] for one in got] == answers.macs.tolist()
    assert [one["probability"] for one in got] == pytest.approx(answers.probabilities.max(axis=1).tolist(), abs=1e-5)
    return True


@pytest.mark.parametrize("budget", [None, MIXED])
def test_the_answers_are_those_of_the_predictor(service, expected, images, budget):
    several = expected(images[:60], budget)
    assert budget is None or set(several.exits) == {0, 1}
    same(service.post(images[:60], budget), several)
    same(service.post(images[:1], budget), expected(images[:1], budget))
    pixels = np.round(images[:9] * 255).astype(np.uint8)
    same(service.post(pixels.tobytes(), budget), expected(pixels, budget))


def test_a_bundle_without_onnx_is_answered_by_pytorch(start, make_bundle, images):
    folder = make_bundle()
    same(start(folder).post(images[:60]), EarlyExitPredictor.load(folder, device="cpu")(images[:60]))


def test_each_of_many_requests_gets_its_own_answer_within_its_own_budget(service, expected, images):
    budgets = (None, "45k", MIXED, "80k")
    answers = {budget: expected(images, budget) for budget in budgets}
    counted = [service.number(name) for name in ("requests_total", "request_seconds_count", "exit_inputs_total")]

    def ask(i):
        own, budget = slice(i % 300, i % 300 + 1 + i % 3), budgets[i % 4]
        return same(service.post(images[own], budget), type(answers[budget])(*(part[own] for part in answers[budget])))

    with ThreadPoolExecutor(24) as clients:
        assert all(clients.map(ask, range(240)))
    again = [service.number(name) for name in ("requests_total", "request_seconds_count", "exit_inputs_total")]
    assert np.subtract(again, counted).tolist() == [240, 240, 480]
    assert service.number("queue_inputs") == 0


def test_requests_of_one_policy_are_one_batch(start, bundle, expected, images):
    service = start(bundle, "--max-batch", "8", "--max-wait-ms", FOR_EVER_MS)  # answered when full, and only then
    answers = {budget: expected(images, budget) for budget in ("45k", "80k")}

    def ask(i):
        budget = ("45k", "80k")[i % 2]
        return same(service.post(images[i : i + 1], budget), type(answers[budget])(*(p[[i]] for p in answers[budget])))

    with ThreadPoolExecutor(16) as clients:
        assert all(clients.map(ask, range(16)))
    assert (service.number("batch_inputs_count"), service.number("batch_inputs_sum")) == (2, 16)
    assert service.ended() in (0, -signal.SIGTERM)


def test_a_full_queue_refuses_and_what_waits_is_answered_at_the_end(start, bundle, expected, images):
    service = start(bundle, "--queue", "3", "--max-wait-ms", FOR_EVER_MS, "--timeout", "10m")
    with ThreadPoolExecutor(3) as clients:
        waiting = [clients.submit(service.post, images[i : i + 1]) for i in range(3)]
        eventually(lambda: service.number("queue_inputs") == 3)
        refused = service.post(images[:1])
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert refused.json()["detail"] == "queue: 3 inputs wait already, of at most 3"
        assert service.number("requests_total", status="503") == 1
        assert not any(request.done() for request in waiting)
        assert service.ended() in (0, -signal.SIGTERM)
        for i, request in enumerate(waiting):
            same(request.result(), expected(images[i : i + 1]))
    with pytest.raises(requests.ConnectionError):
        service.health()


def test_what_takes_too_long_is_given_up(start, bundle, images):
    service = start(bundle, "--timeout", "0.2s", "--max-wait-ms", FOR_EVER_MS)
    late = service.post(images[:1])
    assert (late.status_code, late.json()["detail"]) == (504, "no answer within 0.2 s")
    assert service.number("queue_inputs") == 0
    assert service.ended() in (0, -signal.SIGTERM)


def test_a_request_that_is_too_large_is_refused(service, images):
    for body in (bytes(1_100_000), iter([bytes(100_000)] * 11)):  # with its length, and in chunks without
        large = service.post(body)
        assert (large.status_code, large.json()["detail"]) == (413, "body: more than 1000000 bytes")
    many = service.post(images[:65])
    assert (many.status_code, many.json()["detail"]) == (413, "inputs: 65 are too many; at most 64 are possible")


JSON = {"headers": {"Content-Type": "application/json"}}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"budget": "1k"}, "max_avg_macs: 1k cannot be met; the cheapest policy costs"),
        ({"budget": "cheap"}, "max_avg_macs: 'cheap' is not a number; examples: 150000, 150k, 2M"),
        ({"budget": "nan"}, "max_avg_macs: nan is not possible; a positive number is"),
        ({"images": b"12345"}, "body: 5 bytes are no images of 1 x 8 x 8 = 64 bytes"),
        ({"images": np.zeros((1, 1, 9, 9))}, "inputs: images of 9 x 9 are not possible; scale them to 8 x 8 first"),
        ({"data": "[" * 100_000, **JSON}, 'body: not as {"inputs": [image, ...]}'),
        ({"data": '{"inputs": [[[1], [1, 2]]]}', **JSON}, 'body: not as {"inputs": [image, ...]}'),
        ({"data": '{"inputs": [NaN]}', **JSON}, "inputs: they hold what is no finite number"),
    ],
)
def test_a_bad_request_gets_one_sentence(service, images, more, sentence):
    response = service.post(**{"images": None if "data" in more else images[:1], **more})
    assert response.status_code == 422
    assert response.json()["detail"].startswith(sentence)


def test_a_page_of_another_site_cannot_ask(service):
    assert service.post(data="{}", headers={"Content-Type": "text/plain"}).status_code == 415


def test_a_shift_of_the_inputs_raises_the_alarm(start, bundle, images):
    service = start(bundle)
    for first in range(0, len(images), 60):
        assert service.post(images[first : first + 60], MIXED).status_code == 200
    health = service.health()
    (name,) = set(health["policies"]) - {"exported"}
    shift = health["policies"][name]
    assert (health["status"], shift["alarm"], shift["inputs"]) == ("ok", False, len(images))
    assert shift["seen"] == pytest.approx(shift["promised"], abs=0.01)
    assert service.number("exit_drift_alarm") == 0
    assert service.number("exit_drift", policy=name) < 0.01
    for first in range(0, len(images), 60):
        assert service.post(images[first : first + 60] * 0.3, MIXED).status_code == 200  # too dark
    assert service.health()["status"] == "shift"
    assert service.number("exit_drift_alarm", policy=name) == 1
    assert service.number("exit_drift_alarm", policy="exported") == 0
    assert service.number("exit_drift", policy=name) > 0.1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["nowhere"], "nni-earlyexit: bundle: there is none in 'nowhere', which would have a manifest.json\n"),
        (["x", "--max-batch", "0"], "nni-earlyexit: max_batch: 0 is not possible; a whole number from 1 is\n"),
        (["x", "--port", "99999"], "nni-earlyexit: port: 99999 is not possible; a whole number from 1 to 65535 is\n"),
        (["x", "--max-body", "nan"], "nni-earlyexit: max_body: nan is not possible; a positive number of bytes is\n"),
    ],
)
def test_what_cannot_start_ends_with_one_sentence(tmp_path, options, sentence):
    done = subprocess.run(
        [sys.executable, str(SERVICE), *options], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (2, sentence)
