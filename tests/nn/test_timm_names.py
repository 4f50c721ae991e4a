"""Names of timm's models without importing it: they are timm's own, and a wrong one is refused at once."""

from __future__ import annotations

import subprocess
import sys

import pytest
import timm
from nni_earlyexit.nn import timm_names


def test_names_are_those_that_timm_lists():
    assert timm_names.names() == sorted(timm.list_models())


@pytest.mark.parametrize(
    ("model", "is_there"),
    [
        ("resnet18", True),
        ("resnet18.a1_in1k", True),
        ("tf_efficientnet_b0_ns", True),  # an old name of timm's
        ("resnet188", False),
    ],
)
def test_a_name_is_checked_as_timm_checks_it(monkeypatch, model, is_there):
    assert timm.is_model(model.partition(".")[0]) is is_there
    monkeypatch.delitem(sys.modules, "timm")
    if is_there:
        timm_names.check_early(model)
    else:
        with pytest.raises(ValueError, match=r"^model: 'resnet188' is unknown; did you mean 'resnet18'"):
            timm_names.check_early(model)


def test_once_timm_is_imported_it_is_left_to_timm():
    timm_names.check_early("of_my_own")


@pytest.mark.parametrize(
    "words", [["space", "timm:resnet188"], ["init", "--data", "digits", "--space", "timm:resnet188"]]
)
def test_a_wrong_name_waits_for_no_import(words):
    command = [sys.executable, "-X", "importtime", "-m", "nni_earlyexit.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert (done.returncode, len(said)) == (2, 1)
    assert "model: 'resnet188' is unknown; did you mean 'resnet18'" in said[0]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "nni_earlyexit.nn.timm_names" in imported
    assert not {"torch", "timm", "nni"} & imported
