"""``nni-earlyexit train`` as a program: it survives kill -9 and ends where an undisturbed one does."""

from __future__ import annotations

import re
import subprocess

import pytest
from nni_earlyexit import EarlyExitNetwork
from nni_earlyexit.evaluation.one_network import CHECKPOINT
from support import PROGRAM, kill_at

pytestmark = pytest.mark.slow

COMMAND = [
    str(PROGRAM), "train", "digits", "--sample", "largest", "--epochs", "8", "--regime", "mixed", "--averaging", "0.9",
    "--threads", "1",
]  # fmt: skip


def start(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )


def table(said: str) -> str:
    return said[said.index("exit  MACs") :].rpartition("\n")[0].rpartition("\n")[0]


def test_a_killed_training_goes_on_at_the_end_of_the_last_epoch_with_the_same_result(tmp_path):
    whole = start("--output", str(tmp_path / "whole"))
    undisturbed, _ = whole.communicate(timeout=600)
    assert whole.returncode == 0, undisturbed

    killed = start("--output", str(tmp_path / "killed"))
    kill_at(killed, "epoch 5 of 8")
    assert (tmp_path / "killed" / CHECKPOINT).is_file()

    resumed = start("--output", str(tmp_path / "killed"))
    said, _ = resumed.communicate(timeout=600)
    assert resumed.returncode == 0, said
    epochs = [int(number) for number in re.findall(r"^epoch (\d+) of 8", said, flags=re.M)]
    assert epochs[0] in (5, 6)
    assert epochs == list(range(epochs[0], 9))
    assert table(said) == table(undisturbed)
    first, second = (EarlyExitNetwork.load(tmp_path / name).state_dict() for name in ("whole", "killed"))
    assert all((first[name] == second[name]).all() for name in first)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--data", "digit", "--output", "o"], "data: 'digit' is unknown; did you mean 'digits'?"),
        (["--recipe", "fats", "--output", "o"], "recipe: 'fats' is not possible;"),
        (["--optimizer", "adamwx", "--output", "o"], "optimizer: 'adamwx' is unknown; did you mean"),
        (["--sample", "none.json", "--output", "o"], "sample: 'none.json' is not possible; largest, smallest, random,"),
        (["--warmup", "2", "--output", "o"], "--warmup: '2' is not a share; examples: 0.01, 1%"),
    ],
)
def test_bad_input_ends_at_once_with_one_sentence_and_leaves_nothing(options, sentence, tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    code, _, said = call(*COMMAND[1:], *options)
    assert code == 2, said
    assert said.count("\n") == 1
    assert said.startswith(f"nni-earlyexit: {sentence}"), said
    assert not (tmp_path / "o" / "trial.json").exists()


def test_a_training_that_diverges_ends_with_exit_code_1_and_one_sentence(tmp_path):
    done = subprocess.run(
        [*COMMAND, "--learning-rate", "1e30", "--output", "o"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(r"nni-earlyexit: training: the loss is \S+ at step \d+, in epoch \d+; .*\n", done.stderr)
