from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import nni_earlyexit
import pytest
from nni_earlyexit import search_spaces
from nni_earlyexit.cli import lazy, main
from nni_earlyexit.cli.run import _words

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["nni-earlyexit", *map(str, arguments)])
    main.main()


def test_space_prints_the_search_space_file(monkeypatch, capsys):
    call(monkeypatch, "space", "digits")
    printed = capsys.readouterr().out
    assert json.loads(printed) == search_spaces.create("digits").search_space()
    assert printed == (EXAMPLE / "search_space.json").read_text()


def test_a_space_with_arguments_is_written_as_in_the_file(monkeypatch, capsys):
    call(monkeypatch, "space", "digits", "max_exits=1", "fixed_exits=0,")
    printed = json.loads(capsys.readouterr().out)
    assert printed["space"]["_value"] == ["digits/2 fixed_exits=0, max_exits=1"]
    assert "exit0_present" not in printed


def test_latency_writes_a_table_that_can_be_used(monkeypatch, capsys, tmp_path):
    from nni_earlyexit.space import latency_table

    monkeypatch.setattr(latency_table, "UNIT_ROUNDS", 1)
    monkeypatch.setattr(latency_table, "CALIBRATION_NETWORKS", 1)
    call(monkeypatch, "latency", "digits", "max_exits=1", "--output", tmp_path / "latency.json", "--batch-size", 2)
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "latency.json")
    table = latency_table.LatencyTable.load(tmp_path / "latency.json", search_spaces.create("digits max_exits=1"))
    assert table.conditions == latency_table.Conditions(batch_size=2)


def test_check_only_checks_and_says_that_nni_must_be_told_of_the_tuner(monkeypatch, capsys):
    monkeypatch.setattr("nni.tools.package_utils.get_algo_meta", lambda name: None)
    ran = []
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: (ran.append(a), real(*a, **k))[1])
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, "check", EXAMPLE / "experiment.yml")
    assert end.value.code == 2
    assert "tuner: NNI does not know EarlyExit as it is now; run 'nni-earlyexit register'" in capsys.readouterr().err
    assert not [command for command in ran if "algo" in str(command)]


def test_check_says_that_the_example_can_be_run(monkeypatch, capsys):
    call(monkeypatch, "check", EXAMPLE / "experiment.yml")
    assert capsys.readouterr().out == f"{EXAMPLE / 'experiment.yml'} can be run\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["space", "digit"], "space: 'digit' is unknown; did you mean 'digits'?"),
        (
            ["space", "digits", "exits=1"],
            "space digits: 'exits' is unknown; did you mean 'max_exits' or 'exit_heads' or 'fixed_exits'?",
        ),
        (["space", "digits", "one"], "space: 'one' in 'digits one' is not an argument; resolution=224 is one"),
        (
            ["latency", "digits", "--output", f"{__file__}/l.json"],
            f"output: {__file__!r} is not a folder that can be",
        ),
        (["latency", "digits", "--output", "l.json", "--dtype", "float8"], "dtype: 'float8' is unknown"),
        (["check", "none.yml"], "config: there is no file 'none.yml'"),
        (["run", "none.yml", "--port", "0"], "--port: '0' is not possible; a whole number from 1 to 65535 is"),
        (["run", "none.yml", "--port", "x"], "--port: 'x' is not possible; a whole number from 1 to 65535 is"),
        (["run", "none.yml", "--prot", "1"], "--prot: there is no such option; did you mean '--port'?"),
        (["train", "digits", "--epochs", "no"], "--epochs: 'no' is not possible; a whole number from 1 is"),
        (["train", "digits", "--input-shape"], "--input-shape: it needs a value"),
        ([], "command: it is missing; --help lists what there is"),
        (["front", "nowhere"], "experiment: 'nowhere' is unknown"),
        (["front", "x" * 300], f"{'x' * 300}: File name too long"),
        (
            ["view", str(Path(__file__).parent)],
            f"experiment: {str(Path(__file__).parent)!r} is not the folder of an exp",
        ),
        (["front"], "experiment: it is missing; the ID of an experiment, or its folder"),
        (["front", "a", "b", "c"], "front: 'b c' is too much; --help lists what it takes"),
        (["frontier"], "command: 'frontier' is unknown; did you mean 'front'?"),
        (["data", "chek"], "command: 'chek' is unknown; did you mean 'check'?"),
        (["thresholds", "o.npz", "--max-drop", "2x"], "--max-drop: '2x' is not a share"),
        (["space", "digits", "--tokens", "8"], "tokens: it is about a data set, which --data names"),
    ],
)
def test_bad_input_ends_with_exit_code_2_and_one_sentence(monkeypatch, capsys, arguments, sentence):
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, *arguments)
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"nni-earlyexit: {sentence}")
    assert said.err.count("\n") == 1


def test_help_and_completion_import_nothing_heavy_and_name_every_command():
    code = (
        "import sys; from nni_earlyexit.cli import main\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'numpy', 'nni', 'pandas', 'plotly'} & set(sys.modules)))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(entry.name in shown for entry in main.COMMANDS)
    asked = {"_NNI_EARLYEXIT_COMPLETE": "complete_bash", "COMP_WORDS": "nni-earlyexit fr", "COMP_CWORD": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **asked})
    assert done.stdout.split() == ["front"]


@pytest.mark.parametrize("name", [entry.name for entry in main.COMMANDS])
def test_help_of_every_command_ends_with_an_example(monkeypatch, capsys, name):
    monkeypatch.setenv("COLUMNS", "120")
    with contextlib.suppress(SystemExit):
        call(monkeypatch, name, "--help")
    shown = capsys.readouterr().out
    if name == "data":
        assert "check" in shown
        assert "clear" in shown
    else:
        assert f"Example: nni-earlyexit {name}" in shown


def test_a_command_is_listed_by_the_first_line_of_its_help():
    for entry in main.COMMANDS:
        module = importlib.import_module(f"nni_earlyexit.cli.{entry.name}")
        if hasattr(module, "command"):
            first = module.command.__doc__.splitlines()[0].rstrip(".")
            assert first[0].lower() + first[1:] == entry.summary or first.startswith(
                entry.summary[:1].upper() + entry.summary[1:]
            )


def test_the_version_is_printed(monkeypatch, capsys):
    call(monkeypatch, "--version")
    assert capsys.readouterr().out == f"nni-earlyexit {nni_earlyexit.__version__}\n"


def test_an_option_of_several_words_ends_where_the_next_option_begins():
    words = ["digits", "--input-shape", "3", "32", "32", "--seed", "1", "--mean", "0.5"]
    spread = list(lazy._spread(words, ["--input-shape", "--mean"]))
    assert spread == [
        *("digits", "--input-shape", "3", "--input-shape", "32", "--input-shape", "32"),
        *("--seed", "1", "--mean", "0.5"),
    ]
    words = ["--mean", "-0.5", "1", "-y", "x"]
    assert list(lazy._spread(words, ["--mean"])) == ["--mean", "-0.5", "--mean", "1", "-y", "x"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["run", "--attach", "abc", "--quick"],
            "quick: it is for an experiment that is started, not for one that runs",
        ),
        (["latency", "digits", "--output", "."], "output: '.' is a folder; a file is wanted, such as 'latency.json'"),
        (
            ["train", "timm:resnet18 frozen=False", "--output", "net"],
            "frozen: 'False' is not possible; true or false is",
        ),
    ],
)
def test_what_would_be_noticed_late_or_never_is_refused(monkeypatch, capsys, words, sentence):
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, *words)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["front", "~nobody-of-this-name"], ["data", "check", "folder:~nobody-of-this-name/x"]]
)
def test_the_home_of_nobody_is_a_path_that_is_not_there(monkeypatch, capsys, words):
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, *words)
    assert ended.value.code == 2
    assert "~nobody-of-this-name" in capsys.readouterr().err


def test_what_a_terminal_cannot_show_does_not_end_a_command(tmp_path):
    folder = tmp_path / "é"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "nni_earlyexit.cli", "front", str(folder)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.startswith(b"no finished trial within the limits in ")
    assert b"\\xe9" in done.stdout


@pytest.mark.parametrize(
    "module", ["nni_earlyexit", "nni_earlyexit.trial", "nni_earlyexit.integration.tuner", "nni_earlyexit.cli"]
)
def test_importing_does_not_wait_for_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_public_names_are_listed_and_load_when_used():
    assert set(nni_earlyexit.__all__) <= set(dir(nni_earlyexit))
    for name in nni_earlyexit.__all__:
        assert getattr(nni_earlyexit, name) is not None
    with pytest.raises(AttributeError, match="No nni_earlyexit attribute Nothing"):
        _ = nni_earlyexit.Nothing


def test_nnis_warnings_about_recent_torch_do_not_reach_the_user_but_real_ones_do():
    code = "import nni_earlyexit, warnings, nni.nas.nn.pytorch; warnings.warn('a real one')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert "is found to be not a nn.Module" not in said
    assert "a real one" in said


def test_data_in_options_of_trials_lie_where_the_options_were_written(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = _words("--data 'folder:my images' --root data --epochs 3 --data cifar10 --data /x/y.npz --root /data")
    assert words == [
        *("--data", f"folder:{tmp_path}/my images", "--root", f"{tmp_path}/data", "--epochs", "3"),
        *("--data", "cifar10", "--data", "/x/y.npz", "--root", "/data"),
    ]
    words = _words("--data=folder:mine --latency-table latency.json --weights=w.safetensors --bank=/b --seed=3")
    assert words == [
        *(f"--data=folder:{tmp_path}/mine", "--latency-table", f"{tmp_path}/latency.json"),
        *(f"--weights={tmp_path}/w.safetensors", "--bank=/b", "--seed=3"),
    ]
    with pytest.raises(ValueError, match="^data: 'floder:x' is unknown; did you mean"):
        _words("--data floder:x")
