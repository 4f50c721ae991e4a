"""The reverse proxy of examples/cluster, a real nginx before a real manager: who has no login sees nothing."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess

import pytest
import requests
import urllib3
from support import eventually, free_port, listening_addresses

pytestmark = pytest.mark.nni

USER = ("me", "a long password")


@pytest.fixture(scope="module")
def manager(start):
    """Of an experiment whose only trial waits until it is stopped."""
    return start(
        trialCommand="exec sleep 600", trialConcurrency=1, maxTrialNumber=1, maxExperimentDuration=None
    ).manager


@pytest.fixture(scope="module")
def nginx():
    if not shutil.which("nginx") and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        # a run level at which it is not started as a service
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "nginx-light"]
        subprocess.run(install, check=False, env={**os.environ, "RUNLEVEL": "1"})
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if path is None or shutil.which("openssl") is None:
        pytest.skip("needs nginx and openssl")
    return path


@pytest.fixture(scope="module")
def proxy(manager, nginx, examples, tmp_path_factory):
    """The address of the proxy, which was set up as the README says."""
    folder = tmp_path_factory.mktemp("proxy")
    readme = (examples / "cluster" / "README.md").read_text()
    commands = [line.strip() for line in readme.splitlines() if line.strip().startswith(("openssl ", 'echo "me:'))]
    assert len(commands) == 2
    for command in commands:
        # asked for the password twice, and in a session without a terminal, which would be asked in place of the input
        subprocess.run(
            command, shell=True, cwd=folder, check=True, input=2 * f"{USER[1]}\n", text=True, start_new_session=True
        )
    port = free_port()
    text = (examples / "cluster" / "nginx.conf").read_text()
    assert text.count("127.0.0.1:8080") == 2
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{manager.port}").replace(
        "listen 8443", f"listen 127.0.0.1:{port}"
    )
    (folder / "nginx.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""  # else its processes may not read what root has made
    running = subprocess.Popen([nginx, "-p", folder, "-c", "nginx.conf", "-g", f"daemon off; {user}"])
    try:
        eventually(lambda: running.poll() is None and listening_addresses(port))
        yield f"https://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(20)
    assert running.returncode == 0


@pytest.fixture
def ask(proxy):
    """The answer to a request; the certificate is one of our own."""
    with requests.Session() as session:
        session.trust_env = False

        def ask(path="/api/v1/nni/check-status", method="GET", **options):
            with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
                return session.request(method, proxy + path, timeout=60, verify=False, **options)

        yield ask


def test_with_a_login_it_is_nnis_web_ui(ask, manager):
    assert ask(auth=USER).json()["status"] == "RUNNING"
    page = ask("/", auth=USER)
    assert page.headers["content-type"].startswith("text/html")
    assert '<div id="root">' in page.text
    assert ask("/api/v1/nni/experiment", auth=USER).json()["id"] == manager.id


@pytest.mark.parametrize("login", [None, ("me", "another password"), ("you", USER[1]), ("me", "")])
@pytest.mark.parametrize("path", ["/", "/api/v1/nni/check-status", "/logs", "/api/v1/nni/trial-jobs"])
def test_without_one_nothing_is_answered(ask, login, path):
    answer = ask(path, auth=login)
    assert answer.status_code == 401
    assert "NNI" not in answer.text


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1", "https://127.0.0.1.evil.example"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_pages_of_other_sites_are_refused_with_a_login_too(ask, origin, method):
    assert ask(method=method, auth=USER, headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("path", ["/netron", "/netron/index.html", "/NETRON/x", "/%6eetron/x"])
def test_nothing_comes_from_netron_app_through_it(ask, path):
    assert ask(path, auth=USER).status_code == 403


def test_pages_of_other_sites_take_no_pictures_or_scripts_from_it(ask):
    assert ask(auth=USER, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}).status_code == 403


def test_its_own_pages_can_change_the_experiment(ask, proxy, manager):
    """The web UI's button that changes the number of trials."""
    profile = ask("/api/v1/nni/experiment", auth=USER).json()
    profile["params"]["maxTrialNumber"] = 2
    path = "/api/v1/nni/experiment?update_type=MAX_TRIAL_NUM"
    answer = ask(path, "PUT", auth=USER, headers={"Origin": proxy}, json=profile)
    assert answer.status_code == 200, answer.text
    assert ask("/api/v1/nni/experiment", auth=USER).json()["params"]["maxTrialNumber"] == 2


def test_nobody_becomes_the_tuner_through_it(ask):
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert ask("/tuner/test", auth=USER, headers=upgrade).status_code != 101


def test_it_speaks_tls_of_today_only(proxy):
    host, port = proxy.removeprefix("https://").split(":")
    assert requests.get(f"http://{host}:{port}/", timeout=60).status_code == 400
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((host, int(port)), timeout=60) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain)


def test_guessing_is_slowed_down(ask):
    assert 429 in {ask(auth=("me", f"guess {number}")).status_code for number in range(300)}
