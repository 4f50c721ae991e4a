from __future__ import annotations

import pytest
from nni_earlyexit.integration.tensorboard_link import link_events


@pytest.fixture
def trial(tmp_path):
    folder = tmp_path / "experiment" / "environments" / "local-env" / "trials" / "aBcDe"
    (folder / "tensorboard").mkdir(parents=True)
    (folder / "tensorboard" / "events").touch()
    return folder


def seen(root):
    return [path.name for path in (root / "trials" / "aBcDe" / "output" / "tensorboard").iterdir()]


@pytest.mark.parametrize("looked_before", [False, True])
def test_nni_finds_the_events_however_often_a_trial_starts(trial, tmp_path, looked_before):
    root = tmp_path / "experiment"
    if looked_before:
        (root / "trials" / "aBcDe" / "output" / "tensorboard").mkdir(parents=True)
    link_events(trial)
    link_events(trial)
    assert seen(root) == ["events"]
    # the experiment's folder may be moved
    root.rename(tmp_path / "moved")
    assert seen(tmp_path / "moved") == ["events"]


def test_a_folder_that_is_not_of_nnis_local_platform_is_left_alone(tmp_path):
    folder = tmp_path / "some" / "where" / "else" / "trial"
    folder.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    link_events(folder)
    assert sorted(tmp_path.rglob("*")) == before
