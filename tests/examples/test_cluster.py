"""The example of several machines, over real SSH: the worker is this machine with a home of its own."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from images import class_folders
from nni_earlyexit import search_spaces
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.evaluation import network_front
from nni_earlyexit.evaluation.nni_database import Database
from nni_earlyexit.experiment import workers
from nni_earlyexit.experiment.config import check
from nni_earlyexit.supernet.learning import make_supernet
from nni_earlyexit.training.recipe import Recipe
from ssh_worker import SSHD, ssh_worker, trusting
from support import PROGRAM, eventually, free_port, left_behind, lines_until, start_program

pytestmark = [pytest.mark.nni, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
TRIALS = 4
TRIAL = "python -m nni_earlyexit.trial --epochs 1 --threads 1"


@pytest.fixture
def start_worker(tmp_path, monkeypatch):
    """Start a worker: the entry of a machine for an experiment file, and the home that trials have there."""
    if SSHD is None:
        pytest.skip("needs sshd")
    monkeypatch.setenv(workers.SSH, trusting(tmp_path))
    with ExitStack() as servers:
        yield lambda *arguments: servers.enter_context(ssh_worker(tmp_path, *arguments))


@pytest.fixture
def worker(start_worker):
    return start_worker()


def python_that(folder, does):
    """The ``pythonPath`` of a worker whose Python is a script, which may run ``$PYTHON``."""
    folder.mkdir()
    (folder / "python").write_text(f"#!/bin/sh\nPYTHON={sys.executable}\n{does}\n")
    (folder / "python").chmod(0o755)
    return str(folder)


def test_a_worker_like_this_machine_is_accepted_with_the_files_that_it_needs(worker, tmp_path):
    (tmp_path / "a file").write_text("the same")
    workers.check_workers([worker[0]], [str(tmp_path / "a file")])


@pytest.mark.parametrize(
    ("does", "sentence"),
    [
        (
            """"$PYTHON" "$@" | sed 's/"nni-earlyexit": "[^"]*"/"nni-earlyexit": "0.0.9"/'""",
            r"'127.0.0.1' has nni-earlyexit 0\.0\.9, this machine \d+\.\d+\.\d+; make both the same",
        ),
        (""""$PYTHON" "$@" | sed 's/"timm": "[^"]*", //'""", r"'127.0.0.1' has timm \(none\), this machine \d"),
        (""""$PYTHON" "$@" | sed 's/"pip": true/"pip": false/'""", r"'127.0.0.1' has no pip, which NNI calls there"),
        ('exec "$PYTHON" -I -S "$@"', r"'.*/python' on '127.0.0.1' cannot run trials: .*No module named"),
        ("exit 3", r"'.*/python' on '127.0.0.1' cannot run trials: no reason given"),
        ("echo '{}'", r"'.*/python' on '127.0.0.1' cannot run trials: no reason given"),
        (
            """"$PYTHON" "$@" | sed 's/"checksums": {[^}]*}/"checksums": {}/'""",
            r"'127.0.0.1' does not have '.*/weights'; copy it there",
        ),
        (
            """"$PYTHON" "$@" | sed 's/weights": "./weights": "x/'""",
            r"'127.0.0.1' has another file than this machine in '.*/weights'; copy it there",
        ),
        (
            """"$PYTHON" "$@" | sed 's#images": ".#images": "x#'""",
            r"'127.0.0.1' has other files than this machine in '.*/images'; copy it there",
        ),
    ],
    ids=[
        "version",
        "package",
        "no pip",
        "no package",
        "fails",
        "says nothing",
        "no file",
        "another file",
        "other images",
    ],
)
def test_another_worker_is_refused_with_the_reason(worker, tmp_path, does, sentence):
    (tmp_path / "weights").write_text("of a supernet")
    (tmp_path / "images" / "cats").mkdir(parents=True)
    (tmp_path / "images" / "cats" / "1.png").write_text("a picture")
    files = [str(tmp_path / name) for name in ("weights", "images")]
    machine = {**worker[0], "pythonPath": python_that(tmp_path / "bin", does)}
    with pytest.raises(ValueError, match=f"^machineList: {sentence}"):
        workers.check_workers([worker[0], machine], files)


def test_one_that_has_another_version_installed_is_refused(worker, tmp_path):
    (packages,) = Path(worker[0]["pythonPath"]).parent.glob("lib/python*/site-packages")
    source = tmp_path / "source"
    for name in ("nni_earlyexit", "search_spaces", "strategies"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)

    def install(number):
        text = (source / "setup.cfg").read_text()
        (source / "setup.cfg").write_text(re.sub("(?m)^version = .*$", f"version = {number}", text))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--upgrade"]
        subprocess.run([*command, "--target", packages, source], check=True)

    install("0.0.9")
    with pytest.raises(ValueError, match=r"^machineList: '127.0.0.1' has nni-earlyexit 0\.0\.9, this machine \d"):
        workers.check_workers([worker[0]], [])
    install(version("nni-earlyexit"))
    workers.check_workers([worker[0]], [])  # the same files, though they lie elsewhere than in a checkout
    with (source / "search_spaces" / "digits.py").open("a") as file:
        file.write("# another one\n")
    install(version("nni-earlyexit"))
    with pytest.raises(
        ValueError, match=r"^machineList: '127.0.0.1' has another nni-earlyexit of the same version \(an "
    ):
        workers.check_workers([worker[0]], [])


def test_one_that_cannot_be_reached_is_named(worker, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"^machineList: '127.0.0.1' cannot be reached: .*Connection refused"):
        workers.check_workers([{**worker[0], "port": free_port()}], [])
    monkeypatch.setenv(workers.SSH, f"ssh -o UserKnownHostsFile={tmp_path / 'nobody'} -o StrictHostKeyChecking=yes")
    with pytest.raises(ValueError, match=r"^machineList: '127.0.0.1' cannot be reached: Host key verification failed"):
        workers.check_workers([worker[0]], [])
    monkeypatch.setenv(workers.SSH, "no-such-ssh")
    with pytest.raises(ValueError, match=r"^machineList: 'no-such-ssh' is no program that runs: No such file"):
        workers.check_workers([worker[0]], [])


def test_a_bank_of_thousands_of_branches_can_be_asked_for(worker, tmp_path):
    paths = [tmp_path / f"{number:05} {'x' * 80}" for number in range(2000)]
    for path in paths:
        path.touch()
    workers.check_workers([worker[0]], list(map(str, paths)))


def test_files_of_a_bank_a_network_and_given_weights_are_those_that_must_be_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ("bank.json", "backbone.npz", "branches/a b/branch.safetensors", "outputs/stage0/train.npy", ".x.1.part")
    for name in names:
        path = tmp_path / "bank" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert workers.files_in("~/bank") == [f"~/bank/{name}" for name in sorted(names[:3])]
    assert workers.files_in("~/bank/bank.json") == ["~/bank/bank.json"]
    assert workers.files_in("~/none") == workers.files_in(None) == workers.files_in(3) == []


def test_one_with_a_password_is_left_out_and_said():
    said = []
    workers.check_workers([{"host": "w1", "user": "me", "password": "secret"}], [], said.append)
    assert said == ["w1 is not looked at, for it has a password; with sshKeyFile it is"]


def test_what_is_not_here_cannot_be_there():
    with pytest.raises(ValueError, match="^machineList: '/no/such/file' is not on this machine either"):
        workers.check_workers([], ["/no/such/file"])


def test_trials_run_on_two_workers_and_their_networks_come_home(start_worker, examples, run_command, tmp_path):
    (one, home), (two, other) = (start_worker(name) for name in ("one", "two"))
    config = yaml.safe_load((examples / "cluster" / "experiment.yml").read_text())
    assert one.keys() - {"port"} == config["trainingService"]["machineList"][0].keys()
    config["trainingService"]["machineList"] = [one, two]
    config |= {"maxTrialNumber": TRIALS, "experimentWorkingDirectory": str(tmp_path / "nni")}
    command = config["trialCommand"].replace("--epochs 12", "--epochs 1 --threads 1")
    command = command.replace(" --max-avg-macs 600k", "")  # one epoch may be too little to keep it
    images, supernet = (
        class_folders(tmp_path / "images", classes="abcdefghij", count=30),
        tmp_path / "supernet.safetensors",
    )
    source = f"folder:{images}"
    make_supernet(search_spaces.create("digits"), DataSettings(source), Recipe(epochs=1, threads=1), supernet)
    config["trialCommand"] = f"{command} --data {source} --weights {supernet}"
    config["searchSpaceFile"] = str(examples / "digits" / "search_space.json")
    file = tmp_path / "project" / "experiment.yml"  # NNI copies its folder to the workers
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(config))

    said = run_command(PROGRAM, "run", file, "--port", free_port(), "--results", "results", folder=tmp_path)
    assert f"{TRIALS}/{TRIALS} trials, best so far" in said
    assert said.count("copied the trials on 127.0.0.1") == 2
    (experiment,) = (path for path in (tmp_path / "nni").iterdir() if not path.is_symlink())
    eventually(lambda: left_behind(home) == left_behind(other) == [])
    done = {
        place: list(place.glob(f"nni-experiments/{experiment.name}/environments/*/trials/*")) for place in (home, other)
    }
    assert all(done.values())
    trials = network_front.finished(experiment)
    assert len(trials) == TRIALS == sum(map(len, done.values()))
    assert all(trial.metrics["sample"] == trial.sample for trial in trials)
    assert all(trial.settings.training.weights == str(supernet) for trial in trials)
    written = json.loads((tmp_path / "results" / "front.json").read_text())
    assert written["trials"] == TRIALS
    assert all(member["architecture"] in said for member in written["front"])

    for folder in (path for place in (home, other) for path in place.glob("nni-experiments")):
        shutil.rmtree(folder)  # as when the machines are gone
    trial = min(trials, key=lambda trial: trial.metrics["avg_macs"]).folder.name
    assert "average MACs" in run_command(PROGRAM, "thresholds", experiment, "--trial", trial, folder=tmp_path)
    run_command(PROGRAM, "export", experiment, "--pick", trial, "--out", "bundle", folder=tmp_path)
    assert (tmp_path / "bundle" / "policy.json").is_file()
    said = run_command(PROGRAM, "fetch", experiment, folder=tmp_path, right=1)
    assert said.count("not everything came from 127.0.0.1") == 2
    assert len(network_front.finished(experiment)) == TRIALS


@pytest.mark.long
def test_each_worker_has_a_bank_of_its_own_and_must_have_what_is_in_the_one_here(
    start_worker, examples, trained_digits, run_command, tmp_path, monkeypatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "here"))
    (one, home), (two, other) = (start_worker(name) for name in ("one", "two"))
    config = yaml.safe_load((examples / "cluster" / "experiment.yml").read_text())
    config["trainingService"]["machineList"] = [one, two]
    config |= {"maxTrialNumber": TRIALS, "experimentWorkingDirectory": str(tmp_path / "nni")}
    config["trialCommand"] = f"{TRIAL} --bank ~/bank"
    del config["tuner"]["classArgs"]["space"]
    file = tmp_path / "project" / "experiment.yml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump({**config, "searchSpaceFile": "search_space.json"}))
    space = run_command(PROGRAM, "space", "trained", f"folder={trained_digits}", folder=tmp_path)
    (file.parent / "search_space.json").write_text(space)

    run_command(PROGRAM, "run", file, "--port", free_port(), "--results", "results", folder=tmp_path)
    (experiment,) = (path for path in (tmp_path / "nni").iterdir() if not path.is_symlink())
    banks = [{path.parent.name: path for path in (place / "bank").glob("branches/*/*")} for place in (home, other)]
    trials = network_front.finished(experiment)
    assert len(trials) == TRIALS == json.loads((tmp_path / "results" / "front.json").read_text())["trials"]
    assert all(banks)
    assert sum(trial.metrics["new_branches"] for trial in trials) == sum(map(len, banks))
    for name in banks[0].keys() & banks[1].keys():  # each trained it by itself, to the same weights
        assert StoredBranch.load(banks[0][name]).accuracies == StoredBranch.load(banks[1][name]).accuracies
    assert not (tmp_path / "here" / "bank").exists()

    shutil.copytree(home / "bank", tmp_path / "here" / "bank")  # one's branches, for all
    shutil.rmtree(other / "bank")
    with pytest.raises(ValueError, match=r"^machineList: '127.0.0.1' does not have '~/bank/.*'; copy it there"):
        check(file)
    shutil.copytree(home / "bank", other / "bank")
    assert check(file).platform == "remote"
    next((other / "bank").glob("branches/*/*")).write_bytes(b"another one")
    with pytest.raises(ValueError, match=r"has another file than this machine in '~/bank/branches/.*'; copy it there"):
        check(file)


@pytest.fixture
def cable():
    """A host of its own, as far as its network goes: how to start something there, its address, its cable's end here."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2")
    name, subnet = f"nee{os.getpid() % 100_000}", f"10.{77 + os.getpid() % 100}.{os.getpid() // 100 % 200}"

    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError:
        pytest.skip("needs the right to make network namespaces")
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "there", "netns", name)
        ip("address", "add", f"{subnet}.1/24", "dev", name)
        ip("link", "set", name, "up")
        within = ["ip", "netns", "exec", name]
        for words in (
            ["address", "add", f"{subnet}.2/24", "dev", "there"],
            ["link", "set", "there", "up"],
            ["link", "set", "lo", "up"],
        ):
            subprocess.run([*within, "ip", *words], check=True)
        yield within, f"{subnet}.2", name
    finally:
        ip("netns", "delete", name)


def test_a_host_that_is_cut_off_and_comes_back_loses_nothing(start_worker, cable, examples, tmp_path):
    within, address, link = cable
    (one, home), (two, other) = start_worker("one"), start_worker("two", address, within)
    port = free_port()
    config = yaml.safe_load((examples / "cluster" / "experiment.yml").read_text())
    config["trainingService"]["machineList"] = [one, two]
    config |= {"maxTrialNumber": 100, "experimentWorkingDirectory": str(tmp_path / "nni")}
    config["trialCommand"] = TRIAL
    config["searchSpaceFile"] = str(examples / "digits" / "search_space.json")
    file = tmp_path / "project" / "experiment.yml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(config))
    alive = ("ServerAliveInterval=2", "ServerAliveCountMax=3", "ConnectTimeout=30", "ExitOnForwardFailure=yes")
    tunnel = [
        *shlex.split(os.environ[workers.SSH]), *(word for option in alive for word in ("-o", option)), "-i",
        two["sshKeyFile"], "-p", str(two["port"]), "-N", "-R", f"{port}:127.0.0.1:{port}", f"{two['user']}@{address}",
    ]  # fmt: skip
    with kept_up(tunnel):
        process = start_program(["run", str(file), "--port", str(port), "--results", str(tmp_path / "results")])
        said = []
        try:
            said += lines_until(process, r"2/100 trials")
            log = next((tmp_path / "nni").glob("_latest/log/nnimanager.log"))
            subprocess.run(["ip", "link", "set", link, "down"], check=True)
            eventually(lambda: f"Worker {address} is not back yet" in log.read_text())
            here = len(list(home.glob("nni-experiments/*/environments/*/trials/*/trial.json")))
            eventually(lambda: len(list(home.glob("nni-experiments/*/environments/*/trials/*/trial.json"))) > here)
            subprocess.run(["ip", "link", "set", link, "up"], check=True)
            eventually(lambda: f"Worker {address} has been recovered" in log.read_text())
            before = set(other.glob("nni-experiments/*/environments/*/trials/*/trial.json"))
            eventually(lambda: set(other.glob("nni-experiments/*/environments/*/trials/*/trial.json")) > before)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            said += process.stdout.readlines()
    assert process.wait() == 130, "".join(said)
    stored = [
        path for place in (home, other) for path in place.glob("nni-experiments/*/environments/*/trials/*/trial.json")
    ]
    assert json.loads((tmp_path / "results" / "front.json").read_text())["trials"] == len(stored)
    eventually(lambda: left_behind(home) == left_behind(other) == [])


@contextmanager
def kept_up(command):
    """Run ``command``, and again whenever it has ended, as autossh does."""
    over = threading.Event()

    def run():
        while not over.is_set():
            process = subprocess.Popen(command)
            while process.poll() is None and not over.wait(0.2):
                pass
            process.kill()
            process.wait()
            over.wait(1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def archive(*members):
    """An archive of files with their contents, and of links (a tuple of name and target)."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, what in members:
            info = tarfile.TarInfo(name)
            if isinstance(what, bytes):
                info.size = len(what)
            else:
                info.type, info.linkname = what
            tar.addfile(info, io.BytesIO(what) if isinstance(what, bytes) else None)
    return content.getvalue()


LINK, HARD_LINK, PIPE, FOLDER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize(
    "bad",
    [
        ("environments/w/x", (LINK, "../../../outside")),
        ("environments/w/x", (HARD_LINK, "../outside/file")),
        ("environments/w/x", (PIPE, "")),
        ("environments/../../outside/file", b"bad"),
        ("../outside/file", b"bad"),
        ("db/nni.sqlite", b"bad"),
        ("environments", (LINK, "../outside")),
    ],
    ids=["link", "hard link", "pipe", "up", "further up", "database", "the folder itself"],
)
def test_what_a_worker_sends_stays_in_the_folder_for_it(tmp_path, monkeypatch, bad):
    machines = [{"host": "w1", "user": "me"}]
    monkeypatch.setattr(workers, "remote_machines", lambda folder: machines)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("mine")
    folder = tmp_path / "experiment"
    folder.mkdir()

    def fetched(*members):
        (tmp_path / "archive").write_bytes(archive(*members))
        monkeypatch.setenv(workers.SSH, f"sh -c 'cat {tmp_path / 'archive'}'")
        return workers.fetch(folder, lambda line: None)

    good = ("environments/w/trials/a/trial.json", b"{}")
    assert not fetched(bad, good)
    fetched(("environments/w/x/file", b"bad"), ("environments/w/file", b"through"))  # through a link, if there is one
    assert (tmp_path / "outside" / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "experiment", "outside"]
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["file"]
    assert [path.name for path in folder.iterdir()] == ["environments"]
    assert (folder / good[0]).read_bytes() == b"{}"
    assert fetched(("environments", (FOLDER, "")), good)


@pytest.mark.parametrize(
    "header",
    [{"mtime": "1e30"}, {"mtime": "-1e300"}, {"mtime": "nan"}, {"path": "environments/w/\0"}, {"GNU.sparse.map": "x"}],
    ids=repr,
)
def test_an_archive_with_odd_values_is_not_all_of_it_and_nothing_more(tmp_path, monkeypatch, header):
    monkeypatch.setattr(workers, "remote_machines", lambda folder: [{"host": "w1", "user": "me"}])
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("environments/w/trials/a/log")
        info.size, info.pax_headers = 3, header
        tar.addfile(info, io.BytesIO(b"log"))
    (tmp_path / "archive").write_bytes(content.getvalue())
    monkeypatch.setenv(workers.SSH, f"sh -c 'cat {tmp_path / 'archive'}'")
    assert not workers.fetch(tmp_path / "experiment", lambda line: None)
    assert not [path for path in (tmp_path / "experiment").rglob("*") if path.is_file()]


def test_half_an_archive_is_not_all_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "remote_machines", lambda folder: [{"host": "w1", "user": "me"}])
    whole = archive(("environments/w/trials/a/trial.json", b"{}" * 5000))
    for content in (whole[:2000], b"junk" * 1000, b""):
        (tmp_path / "archive").write_bytes(content)
        monkeypatch.setenv(workers.SSH, f"sh -c 'cat {tmp_path / 'archive'}'")
        assert not workers.fetch(tmp_path, lambda line: None)
    assert not list(tmp_path.rglob("trial.json"))


def test_without_ssh_the_networks_stay_where_they_are_and_that_is_said(tmp_path, monkeypatch):
    service = {"platform": "remote", "machineList": [{"host": "w1", "user": "me"}, {"host": "w2"}, 3]}
    monkeypatch.setattr(workers.nni_database, "read", lambda folder: Database({"trainingService": service}))
    monkeypatch.setenv(workers.SSH, "no-such-ssh")
    said = []
    assert not workers.fetch(tmp_path, said.append)
    assert said == [f"not everything came from w1; nni-earlyexit fetch {tmp_path} tries again"]
