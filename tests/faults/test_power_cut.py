"""After a power cut at any moment, what was written before is there, or what was being written, and never anything else."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from images import class_folders
from nni_earlyexit import data, search_spaces, strategies
from nni_earlyexit.bank import Bank
from nni_earlyexit.bank.branch import Branch
from nni_earlyexit.bank.stored_branch import StoredBranch
from nni_earlyexit.data import cache
from nni_earlyexit.deploy import export
from nni_earlyexit.deploy.bundle import Bundle
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.evaluation import evaluate
from nni_earlyexit.experiment import workers
from nni_earlyexit.search.checkpoint import Checkpoint
from nni_earlyexit.search.limits import Limits
from nni_earlyexit.space import domain
from nni_earlyexit.supernet.supernet import Supernet
from nni_earlyexit.training.checkpoint import Checkpoint as TrainingState
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import files
from power_cut import Disk


@pytest.fixture
def cut(tmp_path):
    """Write something to a folder while the power is cut; what is read after each cut meanwhile, and after the end."""

    def run(write, read, before=lambda folder: None):
        folder = tmp_path / "disk"
        folder.mkdir()
        before(folder)
        meanwhile, after = [], []
        disk = Disk(folder)
        places = (tmp_path / f"cut{number}" for number in count())
        with disk.writing(places, lambda place, ended: (after if ended else meanwhile).append(read(place))):
            write(folder)
        assert disk.cuts >= len(meanwhile) + len(after) > 1
        return meanwhile, after

    return run


def text(folder):
    return (folder / "file").read_text() if (folder / "file").is_file() else None


def test_what_is_not_safe_is_found(cut):
    """A file that is put in its place without having been synced may be empty or cut, or still be the old one."""

    def write(folder):
        (folder / ".new").write_text("new content")
        os.replace(folder / ".new", folder / "file")

    meanwhile, after = cut(write, text, lambda folder: (folder / "file").write_text("old content"))
    assert set(meanwhile) == set(after) == {"old content", "", "new c"}


def test_a_name_that_is_not_synced_may_be_missing(cut):
    def write(folder):
        (folder / "file").write_text("new")
        files.sync(folder / "file")

    _, after = cut(write, text)
    assert set(after) == {None, "new"}


def test_a_folder_that_is_made_for_a_file_stays(cut):
    def write(folder):
        files.make_folder(folder / "a" / "b")
        files.write_json(folder / "a" / "b" / "c.json", 1)

    meanwhile, after = cut(write, lambda folder: (folder / "a" / "b" / "c.json").is_file())
    assert set(meanwhile) == {False, True}
    assert set(after) == {True}


def test_json_is_the_old_or_the_new_one(cut):
    def write(version):
        return lambda folder: files.write_json(folder / "front.json", {"version": version, "more": [0.5] * 100})

    meanwhile, after = cut(write(1), lambda place: files.read_json(place / "front.json", "front")["version"], write(0))
    assert set(meanwhile) == {0, 1}
    assert set(after) == {1}


def test_the_state_of_a_strategy_is_the_old_or_the_new_one(cut, digits_space):
    def made():
        strategy = strategies.create("nsga2", objectives={"accuracy": "max", "avg_macs": "min"}, seed=0)
        strategy.start(domain(digits_space, Limits()))
        return strategy

    running = made()
    states = []
    stored = {}

    def write(folder):
        running.ask()
        stored.setdefault(folder, Checkpoint(folder)).save(running)
        states.append(running.state_dict())

    def read(folder):
        again = made()
        assert Checkpoint(folder).load(again)
        return states.index(again.state_dict()) if again.state_dict() in states else len(states)

    meanwhile, after = cut(write, read, write)
    assert set(meanwhile) == {0, 1}
    assert set(after) == {1}


def epoch(number):
    """The end of an epoch of a training."""

    class Loop:
        def save_checkpoint(self, path):
            progress = {"phase": 0, "epochs": number, "precision": "float32"}
            torch.save({"nni_earlyexit": progress, "weights": torch.ones(100)}, path)

    def put(folder):
        state = TrainingState(folder / "training.ckpt", {"phase": 0, "precision": "float32"}, lambda: 0.0)
        state.on_train_epoch_end(Loop(), None)

    return put


def test_the_state_of_a_training_is_that_of_the_last_epoch_or_the_one_before(cut):
    def before(folder):
        for number in (1, 2):
            epoch(number)(folder)

    meanwhile, after = cut(epoch(3), lambda folder: TrainingState.read(folder / "training.ckpt").epochs, before)
    assert set(meanwhile) == {2, 3}
    assert set(after) == {3}


def test_a_damaged_state_of_a_training_never_takes_the_place_of_the_good_one(cut):
    def before(folder):
        for number in (1, 2):
            epoch(number)(folder)
        (folder / "training.ckpt").write_bytes(b"damaged")

    def go_on(folder):
        assert TrainingState.read(folder / "training.ckpt").epochs == 1
        epoch(2)(folder)

    meanwhile, after = cut(go_on, lambda folder: TrainingState.read(folder / "training.ckpt").epochs, before)
    assert set(meanwhile) == {1, 2}
    assert set(after) == {2}


def test_what_comes_home_from_a_worker_is_whole_or_not_there(cut):
    content = b"x" * 100_000
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("environments/w1/trials/abc/weights.safetensors")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))

    def write(folder):
        with tarfile.open(fileobj=io.BytesIO(packed.getvalue())) as archive:
            assert all(workers._unpacked(archive, member, folder) for member in archive)

    def read(folder):
        path = folder / member.name
        return path.read_bytes() == content if path.exists() else None

    meanwhile, after = cut(write, read)
    assert set(meanwhile) == {None, True}
    assert set(after) == {True}


def test_a_trial_is_whole_or_not_there(cut, digits_space, two_exits):
    settings = Settings.from_options(epochs=1, threads=1, tensorboard=False)
    evaluation = evaluate(digits_space.freeze(two_exits), data.load("digits"), settings)
    place = ("experiment", "environments", "local-env", "trials", "trial")

    def before(folder):
        folder.joinpath(*place[:-1]).mkdir(parents=True)

    def read(folder):
        found = record.load(folder.joinpath(*place))
        if found is None:
            return None
        torch.testing.assert_close(found.network().state_dict(), evaluation.network.state_dict())
        return found.metrics["accuracy"]

    meanwhile, after = cut(lambda folder: record.save(evaluation, folder.joinpath(*place), settings), read, before)
    assert set(meanwhile) == {None, evaluation.metrics["accuracy"]}
    assert set(after) == {evaluation.metrics["accuracy"]}


def test_the_folders_of_a_trial_stay_that_nni_has_made_just_before(cut, digits_space, two_exits):
    settings = Settings.from_options(epochs=1, threads=1, tensorboard=False)
    evaluation = evaluate(digits_space.freeze(two_exits), data.load("digits"), settings)
    place = ("experiment", "environments", "local-env", "trials", "trial")

    def write(folder):
        folder.joinpath(*place).mkdir(parents=True)
        record.save(evaluation, folder.joinpath(*place), settings)

    _, after = cut(write, lambda folder: record.load(folder.joinpath(*place)) is not None)
    assert set(after) == {True}


@pytest.mark.slow
def test_a_bundle_is_the_old_or_the_new_one(cut, trained_digits):
    trial = record.load(trained_digits)

    def write(cutoff):
        settings = replace(trial.settings, goal=replace(trial.settings.goal, cutoffs=cutoff))
        return lambda folder: export(trial, folder / "bundle", settings, keep_exits=True)

    def read(folder):
        return Bundle.load(folder / "bundle").fit().policy.cutoffs[0]

    meanwhile, after = cut(write(0.4), read, write(0.5))
    assert set(meanwhile) == {0.5, 0.4}
    assert set(after) == {0.4}


def test_a_bundle_that_is_new_stays_with_the_folders_above_it(cut, trained_digits):
    trial = record.load(trained_digits)

    def there(folder):
        return (
            (folder / "out").is_dir()
            and any((folder / "out").glob("[!.]*"))
            and bool(Bundle.load(folder / "out" / "it"))
        )

    meanwhile, after = cut(lambda folder: export(trial, folder / "out" / "it"), there)
    assert set(meanwhile) == {False, True}
    assert set(after) == {True}


def test_a_branch_of_a_bank_is_the_old_or_the_new_one(cut):
    def write(accuracy):
        logits = np.zeros((4, 2), np.float32)
        weights = {"w": torch.full((100,), accuracy)}
        branch = Branch(0, (("exit0_depth", 0),))
        stored = StoredBranch(branch, 5, 6, (accuracy,), False, 1.0, logits, logits + 1, weights)
        return lambda folder: stored.save(folder / "branch.safetensors")

    def read(folder):
        stored = StoredBranch.load(folder / "branch.safetensors")
        assert stored.weights["w"].unique().item() == stored.accuracy
        return stored.accuracy

    meanwhile, after = cut(write(0.75), read, write(0.5))
    assert set(meanwhile) == {0.5, 0.75}
    assert set(after) == {0.75}


def test_a_supernet_is_the_old_or_the_new_one(cut):
    space = search_spaces.create("digits max_exits=0")
    supernet = Supernet(space)

    def read(folder):
        return Supernet.load(folder / "super.safetensors", space)[1]["version"]

    def write(version):
        return lambda folder: supernet.save(folder / "super.safetensors", {"version": version})

    meanwhile, after = cut(write(1), read, write(0))
    assert set(meanwhile) == {0, 1}
    assert set(after) == {1}


def test_outputs_of_stages_are_right_whatever_is_left_of_them(cut, tmp_path, trained_digits):
    space = search_spaces.create("trained", folder=str(trained_digits))
    task, recipe = data.load("digits"), Recipe(epochs=1, threads=1)
    right = Bank(tmp_path / "elsewhere", space, task, recipe).stage_outputs(0)

    def used(folder):
        outputs = Bank(folder / "bank", space, task, recipe).stage_outputs(0)
        assert torch.equal(outputs.train.x, right.train.x)
        assert torch.equal(outputs.validation.x, right.validation.x)
        return True

    meanwhile, after = cut(used, used)
    assert set(meanwhile) == set(after) == {True}


def test_decoded_images_are_right_whatever_is_left_of_the_cache(cut, tmp_path, monkeypatch):
    source = f"folder:{class_folders(tmp_path / 'images', count=6)}"
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "elsewhere"))
    right = data.load(source).train.x

    def used(folder):
        monkeypatch.setenv(cache.VARIABLE, str(folder / "cache"))
        torch.testing.assert_close(data.load(source).train.x, right)
        return True

    meanwhile, after = cut(used, used)
    assert set(meanwhile) == set(after) == {True}


def test_where_names_cannot_be_exchanged_folders_are_moved_one_after_the_other(tmp_path, monkeypatch):
    for name in ("place", "part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    monkeypatch.setattr(files, "_exchanged", lambda first, second: False)
    files.put_folder(tmp_path / "part", tmp_path / "place")
    assert [(tmp_path / name / "file").read_text() for name in ("place", "part")] == ["part", "place"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part", "place"]


def test_a_move_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "place").mkdir()
    (tmp_path / "part").mkdir()
    (tmp_path / "place" / "file").write_text("old")
    monkeypatch.setattr(files, "_exchanged", lambda first, second: False)
    move = os.replace

    def fails(source, target):
        if source == tmp_path / "part":
            raise OSError(errno.ENOSPC, "no room")
        move(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="no room"):
        files.put_folder(tmp_path / "part", tmp_path / "place")
    assert (tmp_path / "place" / "file").read_text() == "old"
