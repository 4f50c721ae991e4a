"""Each mistake in an experiment file ends at once with one sentence that names field, value and what is right."""

from __future__ import annotations

import json
import socket
import sys
import venv

import numpy as np
import pytest
import torch
import yaml
from nni_earlyexit.cli.check import command as check_command
from nni_earlyexit.data.sources import cifar10
from nni_earlyexit.experiment import config as experiment_file
from nni_earlyexit.experiment.config import check, read_by_trials
from nni_earlyexit.experiment.run import run
from nni_earlyexit.integration import trial_arguments
from nni_earlyexit.search.limits import LIMITS
from nni_earlyexit.utils.checks import check_port, check_writable
from nni_earlyexit.utils.tensors import write_tensors
from support import EXAMPLE, free_port, write_config

CLUSTER = EXAMPLE.parent / "cluster"


def tuner(**class_args):
    return {"name": "EarlyExit", "classArgs": {"space": "digits", **class_args}}


def assessor(**class_args):
    return {"name": "EarlyExitHalving", "classArgs": {"epochs": 12, **class_args}}


def command(arguments=""):
    return f"python -m nni_earlyexit.trial {arguments}"


def test_the_example_can_be_run(tmp_path):
    checked = check(write_config(tmp_path, maxExperimentDuration="300s"))
    assert checked.space == "digits"
    assert (checked.concurrency, checked.max_trials, checked.max_seconds) == (2, 36, 300)
    assert checked.settings.limits.max_avg_macs == 600_000


@pytest.mark.parametrize("name", ["kubeflow", "frameworkcontroller"])
def test_the_examples_for_kubernetes_are_what_nni_understands_and_run_says_why_it_cannot(name, tmp_path, capsys):
    path = CLUSTER / f"{name}.yml"
    assert check(path).platform == name
    with pytest.raises(
        ValueError, match=f"^trainingService: 'run' is not possible on '{name}', .*; 'nnictl create --config"
    ):
        run(path, port=free_port(), results=tmp_path / "results")
    check_command(path)
    assert "is right, though not for 'run': trainingService: 'run' is not possible on" in capsys.readouterr().out


def test_data_are_looked_for_where_trials_look_for_them(tmp_path, monkeypatch, digits_space):
    here, code = tmp_path / "here", tmp_path / "code"
    for folder in (here, code):
        folder.mkdir()
    monkeypatch.chdir(here)
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 1, 8, 8), np.float32), np.arange(60) % 10
    path = write_config(tmp_path / "e", trialCommand=command("--data npz:mine.npz"), trialCodeDirectory=str(code))
    np.savez(here / "mine.npz", x=x, y=y)
    with pytest.raises(ValueError, match=f"^trialCommand: data: .*'{code}/mine.npz'"):
        check(path)
    (here / "mine.npz").rename(code / "mine.npz")
    assert check(path).settings.data.source == f"npz:{code}/mine.npz"


def test_fields_of_tuner_and_assessor_may_be_spelt_as_nni_lets_them(tmp_path):
    spelt = {"Name": "EarlyExitHalving", "class_args": {"epochs": 12, "first_rung": 3}}
    check(write_config(tmp_path / "right", assessor=spelt))
    with pytest.raises(ValueError, match="^strategy: 'nsga' is unknown"):
        check(write_config(tmp_path / "wrong", tuner={"name": "EarlyExit", "class_args": {"strategy": "nsga"}}))


def test_a_home_may_be_written_short_in_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "code").mkdir()
    (tmp_path / "space.json").write_bytes((EXAMPLE / "search_space.json").read_bytes())
    path = write_config(tmp_path / "e", searchSpaceFile="~/space.json", trialCodeDirectory="~/code")
    assert check(path).space == "digits"


def test_workers_must_have_the_files_of_torchvisions_sets(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    for name in cifar10.SET.files:
        (tmp_path / name).touch()

    def read(*options):
        return read_by_trials(trial_arguments.parse(["--data", "cifar10", *options]).settings, "digits/2")

    assert read("--root", str(tmp_path)) == [f"{tmp_path}/{name}" for name in cifar10.SET.files]
    assert read("--root", str(tmp_path), "--download") == []


@pytest.mark.parametrize(("name", "role"), [("kubeflow", "master"), ("frameworkcontroller", "taskRoles")])
def test_kubernetes_runs_the_command_whose_limits_the_tuner_keeps(name, role, tmp_path):
    content = yaml.safe_load((CLUSTER / f"{name}.yml").read_text())
    entry = content["trainingService"][role]
    (entry[0] if isinstance(entry, list) else entry)["command"] = command("--max-avg-macs 1M")
    content["searchSpaceFile"] = str(CLUSTER.parent / "digits" / "search_space.json")
    (tmp_path / "experiment.yml").write_text(yaml.safe_dump(content))
    with pytest.raises(
        ValueError, match="^command: '.*--max-avg-macs 1M' is not possible; the trialCommand 'python -m .*600k' is"
    ):
        check(tmp_path / "experiment.yml")


def test_any_tuner_of_nni_can_be_run(tmp_path):
    assert check(write_config(tmp_path, tuner={"name": "TPE"})).space == "digits"


def test_trials_may_be_halved(tmp_path):
    assert check(write_config(tmp_path, assessor=assessor(first_rung=2, factor=4))).settings.training.epochs == 12


def test_any_assessor_of_nni_can_be_run(tmp_path):
    assert check(write_config(tmp_path, assessor={"name": "Medianstop"})).space == "digits"


def test_fields_may_be_spelt_as_nni_allows(tmp_path):
    config = write_config(tmp_path)
    config.write_text(
        config.read_text().replace("trialCommand", "trial_command").replace("maxTrialNumber", "MaxTrialNumber")
    )
    assert check(config).max_trials == 36


BAD = {
    "unknown space": ({"tuner": tuner(space="digit")}, "space: 'digit' is unknown; did you mean 'digits'?"),
    "unknown strategy": ({"tuner": tuner(strategy="nsga")}, "strategy: 'nsga' is unknown; did you mean .*'nsga2'"),
    "unknown objective": ({"tuner": tuner(objectives={"acc": "max"})}, "objectives: 'acc' is unknown; known: accuracy"),
    "unknown direction": ({"tuner": tuner(objectives={"accuracy": "up"})}, "objectives: direction 'up' of accuracy"),
    "unknown class argument": ({"tuner": tuner(max_macs=5)}, "classArgs: 'max_macs' is unknown; did you mean"),
    "strategy argument": (
        {"tuner": tuner(strategy_arguments={"population": 3})},
        "strategy_arguments: surrogate: 'population' is unknown; known: .*initial_random",
    ),
    "population": (
        {"tuner": tuner(strategy="nsga2", strategy_arguments={"population_size": 1})},
        "population_size: 1 is not possible",
    ),
    "population of more networks than there are": (
        {"tuner": tuner(max_avg_macs="600k", strategy="nsga2", strategy_arguments={"population_size": 10**20})},
        "population_size: 100000000000000000000 is not possible; the space has .* networks",
    ),
    "initial samples of another space": (
        {"tuner": tuner(max_avg_macs="600k", strategy_arguments={"initial": [{"depth": 1}]})},
        "initial: sample: 'stage0_depth' is missing",
    ),
    "initial samples that are none": (
        {"tuner": tuner(strategy_arguments={"initial": "best"})},
        "initial: 'best' is not possible; a list of samples is",
    ),
    "whole fronts in words": (
        {"tuner": tuner(strategy_arguments={"whole_fronts": "no"})},
        "whole_fronts: 'no' is not possible; true or false is",
    ),
    "seed twice": (
        {"tuner": tuner(strategy_arguments={"seed": 1})},
        "strategy_arguments: 'seed' is not one of them; classArgs has strategy, objectives and seed",
    ),
    "limit that is no number": ({"tuner": tuner(max_avg_macs="5X")}, "max_avg_macs: '5X' is not a number"),
    "unknown data": ({"trialCommand": command("--data digit")}, "data: 'digit' is unknown; did you mean 'digits'?"),
    "missing data": ({"trialCommand": command("--data no.npz")}, r"data: there is no file '/.*/no.npz'"),
    "several platforms": (
        {"trainingService": [{"platform": "local"}, {"platform": "local"}]},
        r"^trainingService: \[.*\] is not possible; a mapping is",
    ),
    "zero epochs": ({"trialCommand": command("--epochs 0")}, "epochs: 0 is not possible; a whole number from 1 is"),
    "epochs in words": (
        {"trialCommand": command("--epochs ten")},
        "--epochs: 'ten' is not possible; a whole number from 1 is",
    ),
    "unknown argument": ({"trialCommand": command("--epoch 3")}, "unrecognized arguments: --epoch 3"),
    "another trial": ({"trialCommand": "python train.py"}, "trialCommand: 'python train.py' is not possible"),
    "no such python": (
        {"trialCommand": "python9 -m nni_earlyexit.trial", "tuner": tuner()},
        "trialCommand: there is no program 'python9'",
    ),
    "limits that differ": (
        {"trialCommand": command("--max-avg-macs 500k"), "tuner": tuner(max_avg_macs="400k")},
        "max_avg_macs: the tuner's is 400000.0 and the trialCommand's is 500000.0; they must be the same",
    ),
    "full limit below the cheapest": (
        {"trialCommand": command("--max-full-macs 10k"), "tuner": tuner(max_full_macs="10k")},
        r"max_full_macs: 10k is below the cheapest network of space digits/2, whose last exit costs 89.2k \(89152 MACs\)",
    ),
    "average limit below the cheapest": (
        {"trialCommand": command("--max-avg-macs 10k"), "tuner": tuner(max_avg_macs="10k")},
        r"max_avg_macs: 10k is below the cheapest network of space digits/2, whose first exit costs 35k \(34976 MACs\)",
    ),
    "parameters below the cheapest": (
        {"trialCommand": command("--max-params 1k"), "tuner": tuner(max_params="1k")},
        r"max_params: 1k is below the cheapest network of space digits/2, whose last exit costs 7.75k \(77.. parameters\)",
    ),
    "activations below the cheapest": (
        {"trialCommand": command("--max-activation-bytes 1k"), "tuner": tuner(max_activation_bytes="1k")},
        r"max_activation_bytes: 1k is below the cheapest network of space digits/2, .* bytes\)",
    ),
    "a limit that only one of both has": (
        {"trialCommand": command("--max-params 1M"), "tuner": tuner(max_full_macs="2M")},
        "max_full_macs: the tuner's is 2000000.0 and the trialCommand's is None; they must be the same, or stand in the "
        "trialCommand alone",
    ),
    "a limit that is another one": (
        {"trialCommand": command("--max-avg-macs 500k --max-params 1M"), "tuner": tuner(max_avg_macs="500k")},
        "max_params: the tuner's is None and the trialCommand's is 1000000.0; they must be the same",
    ),
    "latency limit without a table": (
        {"trialCommand": command("--max-latency-s 0.1"), "tuner": tuner()},
        "max_latency_s needs a latency_table; 'nni-earlyexit latency' makes one",
    ),
    "latency as objective without a table": (
        {"tuner": tuner(objectives={"accuracy": "max", "latency_s": "min"})},
        "objectives: latency_s needs a latency_table",
    ),
    "a table that is not there": (
        {"trialCommand": command("--latency-table none.json"), "tuner": tuner()},
        "latency_table: there is no file 'none.json'",
    ),
    "space argument": (
        {"trialCommand": command(""), "tuner": tuner(space="digits max_exit=1")},
        "space digits: 'max_exit' is unknown; did you mean 'max_exits'",
    ),
    "another argument of the space": (
        {"trialCommand": command(""), "tuner": tuner(space="digits max_exits=1")},
        "space: the tuner's: 'digits/2 max_exits=1' is not 'digits/2', which the search space file belongs to",
    ),
    "inputs of another shape": (
        {"trialCommand": command("--input-shape 3 8 8"), "tuner": tuner()},
        r"data: 'digits' has inputs \(3, 8, 8\) of 10 classes, the network takes \(1, 8, 8\) of 10; give input_shape 1 8 8",
    ),
    "exit weights": (
        {"trialCommand": command("--exit-weights 1 1"), "tuner": tuner()},
        "exit_weights: 2 given for 4 stages",
    ),
    "unknown argument of the assessor": (
        {"assessor": assessor(eta=3)},
        "assessor: classArgs: 'eta' is unknown; known: epochs, factor, first_rung, objectives",
    ),
    "no argument of the assessor": (
        {"assessor": {"name": "EarlyExitHalving"}},
        "assessor: classArgs: epochs is missing; it is that of the trialCommand",
    ),
    "factor": ({"assessor": assessor(factor=1)}, "assessor: factor: 1 is not possible; a whole number from 2 is"),
    "epochs that differ": ({"assessor": assessor(epochs=9)}, "assessor: epochs: 9 is not possible; trials have 12"),
    "latency to halve by without a table": (
        {"assessor": assessor(objectives={"latency_s": "min"})},
        "assessor: objectives: latency_s needs a latency_table",
    ),
    "an accuracy beyond all": (
        {"trialCommand": command("--min-accuracy 2")},
        "--min-accuracy: '2' is not a share; examples: 0.01, 1%",
    ),
    "threads beyond all": (
        {"trialCommand": command("--threads 100000")},
        "threads: 100000 is not possible; .* 1 to 1024",
    ),
    "inputs beyond all": (
        {"trialCommand": command("--input-shape 3 100000 100000")},
        r"input_shape: \[3, 100000, 100000\] is not possible; at most 16,777,216 numbers an input are",
    ),
    "help in the command": ({"trialCommand": command("--help")}, "trialCommand: unrecognized arguments: --help"),
    "a field twice": ({"max_trial_number": 3}, "max_trial_number: it is given twice, as 'maxTrialNumber' and as"),
    "a folder that is no text": (
        {"experimentWorkingDirectory": False},
        "experimentWorkingDirectory: False is not possible",
    ),
    "a file that is no text": ({"searchSpaceFile": {1: 2}}, "searchSpaceFile: {1: 2} is not possible; a text is"),
    "a folder that is a number": (
        {"trialCodeDirectory": float("inf")},
        "trialCodeDirectory: inf is not possible; a text",
    ),
    "a folder that is none": ({"trialCodeDirectory": "nowhere"}, "trialCodeDirectory: '.*nowhere' is not a folder"),
    "a command that is a number": ({"trialCommand": float("inf")}, "trialCommand: inf is not possible; a text is"),
    "arguments in a list": (
        {"tuner": {"name": "EarlyExit", "classArgs": [1]}},
        r"classArgs: \[1\] is not possible; a mapping",
    ),
    "arguments of the assessor in a list": (
        {"assessor": {"name": "EarlyExitHalving", "classArgs": [1]}},
        r"assessor: classArgs: \[1\] is not possible",
    ),
    "a duration in words": (
        {"maxExperimentDuration": "soon"},
        "maxExperimentDuration: 'soon' is not possible; a duration",
    ),
    "a number of trials in words": ({"maxTrialNumber": "all"}, "maxTrialNumber: 'all' is not possible; a whole number"),
    "a module that is not allowed": (
        {
            "trialCommand": command(),
            "tuner": tuner(space="venv.__main__"),
            "searchSpaceFile": None,
            "searchSpace": {"space": {"_value": ["venv.__main__"]}},
        },
        "space: 'venv.__main__' is a Python module, which .* allow it, if you trust it, with --allow-space venv.__main__",
    ),
    "no command": ({"trialCommand": None}, "trialCommand: it is missing"),
    "no search space": ({"searchSpaceFile": None}, "searchSpaceFile: it is missing"),
    "search space file missing": ({"searchSpaceFile": "none.json"}, "searchSpaceFile: there is no file '.*none.json'"),
    "a field that NNI does not know": ({"maxTrials": 3}, "config: NNI refuses .*max_?[tT]rials"),
    "no concurrency": ({"trialConcurrency": None}, "config: NNI refuses .*trial_?[cC]oncurrency"),
}


@pytest.mark.parametrize(("changes", "sentence"), BAD.values(), ids=BAD)
def test_mistake(tmp_path, changes, sentence):
    # where the example's limit is not the point, it would only be in the way
    if "trialCommand" in changes and "tuner" not in changes:
        changes = {**changes, "tuner": tuner()}
    with pytest.raises((ValueError, OSError), match=sentence) as mistake:
        check(write_config(tmp_path, **changes))
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize(
    ("limit", "changes", "sentence"),
    [
        ("100k", {"stage0_depth": 3}, "strategy_arguments: initial: .* misses a limit before it is trained"),
        ("5M", {}, None),
    ],
)
def test_samples_to_try_first_must_meet_the_limits(tmp_path, digits_space, limit, changes, sentence):
    sample = json.loads(json.dumps({**digits_space.cheapest(exit=-1)[0], **changes}))
    config = write_config(
        tmp_path,
        trialCommand=command(f"--max-full-macs {limit}"),
        tuner=tuner(max_full_macs=limit, strategy_arguments={"initial": [sample]}),
    )
    if sentence is None:
        check(config)
    else:
        with pytest.raises(ValueError, match=sentence):
            check(config)


def test_a_latency_table_where_the_tuner_would_not_find_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latency.json").write_text("{}")
    config = write_config(
        tmp_path, trialCommand=command("--latency-table latency.json"), tuner=tuner(latency_table="latency.json")
    )
    with pytest.raises(ValueError, match="latency_table: 'latency.json' is not possible; a path from / is, as NNI"):
        check(config)


def edit(space, change):
    if change == "version":
        space["space"]["_value"] = ["digits/0"]
    elif change == "another space":
        space["space"]["_value"] = ["mobilenetv3/1"]
    elif change == "no space":
        del space["space"]
    elif change == "value":
        space["stage0_depth"]["_value"] = [1, 2, 3, 4]
    elif change == "label":
        space["stage9_depth"] = {"_type": "choice", "_value": [1]}
    else:
        del space["exit0_present"]
    return space


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("version", "space: 'digits/0' is not 'digits/2', which is installed; .* 'nni-earlyexit space digits'"),
        (
            "another space",
            "space: the tuner's: 'digits' is not 'mobilenetv3/1', which the search space file belongs to",
        ),
        ("no space", "searchSpaceFile: it does not say which space it belongs to"),
        ("value", r"searchSpaceFile: 'stage0_depth' is .*\[1, 2, 3, 4\].*, but .*\[1, 2, 3\]"),
        ("label", "searchSpaceFile: 'stage9_depth' is .*, but None in space digits/2"),
        ("removed label", "searchSpaceFile: 'exit0_present' is None, but"),
    ],
)
def test_search_space_file_of_another_space_or_version(tmp_path, change, sentence):
    config = write_config(tmp_path)
    file = tmp_path / "search_space.json"
    file.write_text(json.dumps(edit(json.loads(file.read_text()), change)))
    with pytest.raises(ValueError, match=sentence):
        check(config)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="config: there is no file"):
        check(tmp_path / "none.yml")
    config = write_config(tmp_path)
    (tmp_path / "search_space.json").write_text("{")
    with pytest.raises(ValueError, match=r"searchSpaceFile: '.*search_space.json' is not JSON"):
        check(config)
    config.write_text("a: [")
    with pytest.raises(ValueError, match=r"config: '.*experiment.yml' is not YAML"):
        check(config)
    config.write_bytes(b"experimentName: \xff")
    with pytest.raises(ValueError, match=r"config: '.*experiment.yml' is not text in UTF-8"):
        check(config)
    config.write_text("just words")
    with pytest.raises(ValueError, match="must hold a mapping"):
        check(config)


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "below"
    with pytest.raises(ValueError, match="experimentWorkingDirectory: .* is not a folder that can be written to"):
        check(write_config(tmp_path / "config", experimentWorkingDirectory=str(folder)))
    with pytest.raises(ValueError, match="results: "):
        check_writable(folder, "results")
    check_writable(tmp_path / "new" / "folder", "results")
    assert not (tmp_path / "new").exists()


def test_a_python_of_another_environment(tmp_path):
    venv.create(tmp_path / "other", with_pip=False)
    python = tmp_path / "other" / "bin" / "python"
    with pytest.raises(ValueError, match=f"belongs to the environment '{tmp_path / 'other'}', not to '{sys.prefix}'"):
        check(write_config(tmp_path / "config", trialCommand=f"{python} -m nni_earlyexit.trial", tuner=tuner()))


def test_nnictl_that_is_missing_in_this_environment(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment_file, "programs", lambda: tmp_path)
    with pytest.raises(ValueError, match="nnictl: it is not in this environment"):
        check(write_config(tmp_path / "config"))


def test_a_port_in_use():
    check_port(free_port())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"port: {port} is in use"):
            check_port(port)
    with pytest.raises(ValueError, match="port: 70000 is not possible"):
        check_port(70000)


def test_the_digits_example_says_a_limit_once(tmp_path):
    config = yaml.safe_load(write_config(tmp_path).read_text())
    assert "--max-avg-macs 600k" in config["trialCommand"]
    assert not LIMITS.keys() & config["tuner"]["classArgs"].keys()


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        (command("--allow-space my.a --data gone.npz --allow-space my.b"), ("my.a", "my.b")),
        (command(), ()),
        ("sleep 600 --allow-space my.a", ()),
        ("python -m nni_earlyexit.trial 'open", ()),
        ("None", ()),
    ],
)
def test_what_a_command_allows_is_known_wherever_its_files_are(given, allowed):
    assert trial_arguments.allowed_spaces(given) == allowed


def test_weights_that_networks_inherit_are_read_before_the_first_trial(tmp_path):
    config = write_config(tmp_path, trialCommand=command(f"--weights {tmp_path / 'supernet'}"))
    with pytest.raises(FileNotFoundError, match="^weights: there is no file '.*supernet'$"):
        check(config)
    write_tensors(tmp_path / "supernet", {"weight": torch.zeros(3)}, None)
    content = (tmp_path / "supernet").read_bytes()
    (tmp_path / "supernet").write_bytes(content[:-1] + b"\x01")
    with pytest.raises(ValueError, match="^weights: '.*supernet' is damaged: its checksum is another one"):
        check(config)
