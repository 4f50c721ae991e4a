"""NNI's manager has no login, and its API can start commands: it answers this machine only."""

from __future__ import annotations

import http.client

import pytest
import requests
from support import eventually, listening_addresses

pytestmark = pytest.mark.nni


@pytest.fixture(scope="module")
def manager(start):
    """Of an experiment whose only trial waits until it is stopped."""
    running = start(trialCommand="exec sleep 600", trialConcurrency=1, maxTrialNumber=1, maxExperimentDuration=None)
    eventually(running.manager.trials)
    return running.manager


def answer(manager, method="GET", path="/api/v1/nni/check-status", **headers):
    """The status of the answer to a request with these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", manager.port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
@pytest.mark.parametrize("port", ["", ":{port}", ":1"])
def test_this_machine_is_answered_by_all_its_names_also_through_a_tunnel(manager, host, port):
    assert answer(manager, Host=host + port.format(port=manager.port)) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.0.1", ""],
)
def test_the_names_of_other_hosts_are_refused(manager, host):
    assert answer(manager, Host=host.format(port=manager.port)) == 403


@pytest.mark.parametrize(
    ("origin", "status"), [("http://evil.example", 403), ("null", 403), ("http://localhost:{port}", 200)]
)
def test_pages_of_other_sites_are_refused_and_those_of_the_web_ui_are_not(manager, origin, status):
    assert answer(manager, Origin=origin.format(port=manager.port)) == status


@pytest.mark.parametrize(
    ("site", "dest", "status"),
    [
        ("cross-site", "image", 403),
        ("cross-site", "iframe", 403),
        ("cross-site", "document", 200),
        ("same-origin", "empty", 200),
    ],
)
def test_a_page_of_another_site_can_lead_here_and_embed_nothing_from_here(manager, site, dest, status):
    assert answer(manager, **{"Sec-Fetch-Site": site, "Sec-Fetch-Dest": dest}) == status


@pytest.mark.parametrize(
    "path", ["/netron", "/netron/", "/netron/index.html", "/NETRON/x", "/netron?x", "http://localhost/netron/x"]
)
def test_nothing_is_fetched_from_netron_app(manager, path):
    """Where it cannot be reached, NNI's manager would end."""
    assert answer(manager, path=path) == 403
    assert answer(manager) == 200


def test_a_refusal_acts_before_the_api_does(manager):
    (trial,) = manager.trials()
    assert answer(manager, "DELETE", f"/api/v1/nni/trial-jobs/{trial['trialJobId']}", Host="evil.example") == 403
    assert manager.trials()[0]["status"] in ("WAITING", "RUNNING")


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 101), ({"Host": "evil.example"}, 403), ({"Origin": "http://evil.example"}, 403)]
)
def test_a_page_of_another_site_cannot_take_the_place_of_the_tuner(manager, headers, status):
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    # a channel of its own: the tuner's stays the tuner's
    assert answer(manager, path="/tuner/test", **upgrade, **headers) == status


def test_tensorboard_listens_on_this_machine_only(manager):
    (trial,) = manager.trials()
    url = f"{manager.address}/api/v1/nni/tensorboard"
    task = requests.post(url, json={"trials": trial["trialJobId"]}, timeout=60).json()

    def addresses():
        return listening_addresses(int(task["port"]))

    try:
        eventually(addresses)
        assert addresses() == {"127.0.0.1"}
    finally:
        requests.delete(f"{url}/{task['id']}", timeout=60)
    eventually(lambda: not addresses())
