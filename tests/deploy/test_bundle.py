"""What is written is what comes back; what was changed is named."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nni_earlyexit import EarlyExitNetwork
from nni_earlyexit.deploy import EarlyExitPredictor, Wish, export, load_network, model_card
from nni_earlyexit.deploy import bundle as written_bundle
from nni_earlyexit.evaluation import record
from nni_earlyexit.runtime import Bundle, DamagedBundle, OnnxPredictor
from nni_earlyexit.runtime.bundle import ARCHITECTURE, CARD, MANIFEST, POLICY, WEIGHTS, manifest_of
from nni_earlyexit.thresholds.operating_point import Unreachable
from nni_earlyexit.utils import files
from nni_earlyexit.utils.files import checksum, read_arrays, write_arrays, write_json


@pytest.fixture
def copied(bundle_folder, tmp_path):
    return shutil.copytree(bundle_folder, tmp_path / "copy")


def test_the_network_is_that_of_the_trial(trial, bundle):
    again, before = load_network(bundle), EarlyExitNetwork.load(trial.folder)
    x = torch.rand(5, *before.input_shape)
    with torch.no_grad():
        for a, b in zip(again(x), before(x), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    assert again.preprocessing == before.preprocessing
    assert list(bundle.architecture.exit_costs) == before.exit_costs


def test_the_test_data_are_judged_as_the_front_is(trial, bundle):
    from nni_earlyexit.evaluation.network_front import judge

    (member,) = judge([trial])
    np.testing.assert_allclose(bundle.fit().test["exit_accuracies"], member.exit_accuracies, atol=1e-9)


def test_another_budget_is_another_policy(bundle):
    cheap, dear = (
        bundle.policy_at(max_cost=bundle.fit().family.front.avg_cost[0] * 1.01),
        bundle.policy_at(tolerance=0.0),
    )
    assert cheap != dear
    assert bundle.point_at(min_accuracy=0.5).accuracy >= 0.5
    with pytest.raises(Unreachable, match="max_cost: 10 cannot be met; the cheapest policy costs"):
        bundle.policy_at(max_cost=10)


def test_the_front_is_the_trade_off_of_the_network_itself(trial, bundle):
    """Accuracy and costs of each policy, computed anew from the outputs that the trial has stored."""
    stored = read_arrays(trial.file("outputs.npz"), "trial")
    outputs, labels = stored["calibration_logits"], stored["calibration_labels"]
    family = bundle.fit().family
    assert len(family.front) > 10
    for point in family.front:
        policy = family.policy_of(point)
        assert (policy.predict(outputs) == labels).mean() == pytest.approx(point.accuracy, abs=1.5 / len(labels))
        spent = np.asarray(bundle.costs_under(policy))[policy.exits(outputs)].mean()
        assert spent == pytest.approx(point.avg_cost, rel=0.05)


def saying(trial, folder, right):
    """The trial as if each exit had got right, and been sure of, only the first of these shares of its calibration inputs."""
    shutil.copytree(trial.folder, folder)
    stored = read_arrays(folder / record.OUTPUTS, "trial")
    labels = stored["calibration_labels"]
    logits = np.zeros_like(stored["calibration_logits"])  # an exit that says this knows nothing
    for exit, share in enumerate(right):
        sure = np.arange(int(share * len(labels)))
        logits[sure, exit, labels[sure]] = 20
    write_arrays(folder / record.OUTPUTS, {**stored, "calibration_logits": logits})
    summary = json.loads((folder / record.SUMMARY).read_text())
    summary["checksums"][record.OUTPUTS] = checksum(folder / record.OUTPUTS)
    write_json(folder / record.SUMMARY, summary)
    return record.load(folder)


@pytest.mark.parametrize(
    ("right", "kept"),
    [
        # a branch costs 6,560, 320 and 640 MACs, and the network up to each exit 34,816, 45,312 and 88,512
        ((0.8, 0.8, 1.0), (0, 2)),  # where the second knows no more than the first, no input leaves there
        ((0.0, 0.5, 1.0), (1, 2)),
        ((0.5, 0.9, 1.0), (1, 2)),  # too few leave at the first for what its branch costs
        ((0.8, 1.0, 1.0), (0, 1)),  # nothing goes on after the second
        ((0.5, 1.0, 1.0), (1,)),
        ((0.8, 0.9, 1.0), (0, 1, 2)),
        ((1.0, 1.0, 1.0), (0,)),
        ((0.0, 0.0, 1.0), (2,)),
    ],
)
def test_exits_that_do_not_pay_are_left_out(trial, tmp_path, right, kept):
    bundle = export(
        saying(trial, tmp_path / "trial", right),
        tmp_path / "small",
        Wish.parse("max accuracy").settings(trial.settings),
    )
    assert bundle.architecture.kept == kept
    assert bundle.policy.kept == tuple(range(len(kept)))
    whole, small = EarlyExitNetwork.load(trial.folder), load_network(bundle)
    assert small.exit_stages == tuple(whole.exit_stages[exit] for exit in kept)
    x = torch.rand(5, *whole.input_shape)
    with torch.no_grad():
        before = [own for exit, own in enumerate(whole.eval()(x)) if exit in kept]
        for a, b in zip(small(x), before, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("right", "exits", "sentence"),
    [
        (
            (1.0, 1.0, 1.0),
            1,
            "every input leaves at exit 0: this is a small static network, and the rest of it is left out",
        ),
        (
            (0.0, 0.0, 1.0),
            1,
            "every input leaves at exit 2: this is a small static network, and the other exits are left out",
        ),
        ((0.8, 1.0, 1.0), 2, "keeps 2 of 3 exits: 0, 1; nothing arrives behind exit 1, so the network ends there"),
        ((0.8, 0.9, 1.0), 3, "keeps 3 of 3 exits: 0, 1, 2"),
    ],
)
def test_what_is_left_out_is_said_in_one_line(trial, tmp_path, right, exits, sentence):
    said = []
    settings = Wish.parse("max accuracy").settings(trial.settings)
    bundle = export(saying(trial, tmp_path / "trial", right), tmp_path / "small", settings, say=said.append)
    assert sentence in said
    assert len(bundle.architecture.exit_costs) == exits
    last = bundle.architecture.kept[-1]
    assert len(load_network(bundle).stages) == EarlyExitNetwork.load(trial.folder).exit_stages[last] + 1


def test_the_card_says_what_was_measured(bundle, bundle_folder):
    card, test = (bundle_folder / CARD).read_text(), bundle.fit().test
    assert card.startswith("---\nlibrary_name: nni-earlyexit\n")
    assert f"**{test['accuracy']:.2%}**" in card
    assert "![Accuracy and average MACs of every policy](trade_off.png)" in card
    assert "With int8" in card
    assert test["guess"] < test["interval"][0]
    assert "guessing" not in card


def test_the_card_of_a_network_that_guesses_says_so(bundle):
    own = bundle.fit()
    guessing = replace(own, test={**own.test, "interval": [0.08, 0.12], "guess": 0.102})
    card = model_card.text(bundle.architecture, {"float32": guessing})
    assert "**No better than guessing**: who always answers the most frequent class gets 10% right." in card


def test_the_hub_can_read_the_card(bundle_folder):
    card = ModelCard.load(bundle_folder / CARD)
    assert card.data.to_dict() == {"library_name": "nni-earlyexit", "tags": ["early-exit", "image-classification"]}
    assert card.text.lstrip().startswith("# A network with early exits")
    shown = set(re.findall(r"!\[.*?\]\((.*?)\)", card.text))
    assert shown == {"trade_off.png"}
    assert shown <= Bundle.load(bundle_folder).checksums.keys()


def as_snapshot(bundle_folder, place):
    """A bundle as ``snapshot_download`` of the Hugging Face hub leaves it: links to files that are called by what they hold."""
    blobs, snapshot = place / "models--user--name" / "blobs", place / "models--user--name" / "snapshots" / ("0" * 40)
    for folder in (blobs, snapshot):
        folder.mkdir(parents=True)
    for path in bundle_folder.rglob("*"):
        if path.is_file():
            blob, link = blobs / checksum(path), snapshot / path.relative_to(bundle_folder)
            shutil.copy(path, blob)
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


def as_local_folder(bundle_folder, place):
    """A bundle as ``hf download --local-dir`` leaves it."""
    shutil.copytree(bundle_folder, place / "local")
    notes = place / "local" / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    (notes / "README.md.metadata").write_text("0\n")
    return place / "local"


@pytest.mark.parametrize("layout", [as_snapshot, as_local_folder])
def test_a_bundle_that_comes_from_the_hub_is_used_where_it_lies(bundle_folder, tmp_path, images, layout):
    folder = layout(bundle_folder, tmp_path)
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    everything(folder)
    whole, ours = (
        EarlyExitPredictor.load(folder, device="cpu")(images),
        EarlyExitPredictor.load(bundle_folder, device="cpu")(images),
    )
    np.testing.assert_array_equal(whole.exits, ours.exits)
    (folder / CARD).unlink()
    (folder / CARD).write_text("---\nlicense: mit\n---\n")  # as its owner may, on the hub
    EarlyExitPredictor.load(folder, device="cpu")
    OnnxPredictor.load(folder, threads=1)


def test_a_bundle_takes_the_place_of_one_and_of_nothing_else(trial, tmp_path, copied):
    export(trial, copied)
    assert not (copied / "onnx").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds something else than a bundle; choose another folder"):
        export(trial, tmp_path / "other")
    assert (tmp_path / "other" / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "other"]


def test_a_writing_that_fails_leaves_nothing_and_keeps_what_was_there(trial, copied, monkeypatch):
    from nni_earlyexit.deploy import model_card

    def full(*arguments):
        raise OSError(28, "No space left on device", "README.md")

    before = (copied / MANIFEST).read_bytes()
    monkeypatch.setattr(model_card, "write", full)
    with pytest.raises(OSError, match="No space left"):
        export(trial, copied)
    assert (copied / MANIFEST).read_bytes() == before
    assert [path.name for path in copied.parent.iterdir()] == ["copy"]


def everything(folder):
    """Use all of a bundle."""
    bundle = Bundle.load(folder)
    load_network(bundle)
    for numbers in bundle.fits:
        OnnxPredictor(bundle, threads=1, numbers=numbers)
    bundle.file("onnx/nested.onnx")
    bundle.file(CARD)


def test_files_that_are_cut_off_are_named(bundle_folder, copied, rng):
    everything(copied)
    names = list(Bundle.load(copied).checksums)
    for place in range(100):
        path = copied / names[place % len(names)]
        whole = path.read_bytes()
        path.write_bytes(whole[: int(rng.integers(len(whole)))])
        with pytest.raises(DamagedBundle, match=path.name):
            everything_of(copied, path.name)
        path.write_bytes(whole)
    everything(copied)


def everything_of(folder, name):
    bundle = Bundle.load(folder)
    bundle.file(next(own for own in bundle.checksums if own.endswith(name)))


@pytest.mark.parametrize("name", [CARD, ARCHITECTURE, POLICY, WEIGHTS, "onnx/segment1.onnx"])
def test_files_that_are_gone_are_named(copied, name):
    (copied / name).unlink()
    with pytest.raises(DamagedBundle, match=f"{os.path.basename(name)}.*cannot be read: No such file"):
        everything(copied)


def test_no_bundle_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"bundle: there is none in .* which would have a {MANIFEST}"):
        Bundle.load(tmp_path)


def test_what_was_not_exported_is_said(trial, tmp_path):
    bundle = export(trial, tmp_path / "plain")
    with pytest.raises(FileNotFoundError, match="has no onnx/segment0.onnx"):
        OnnxPredictor(bundle)
    with pytest.raises(ValueError, match="was not exported with 'int8'; it has float32"):
        OnnxPredictor(bundle, numbers="int8")


def test_a_measure_of_ones_own_that_is_not_registered_is_no_damage(copied):
    content = json.loads((copied / POLICY).read_text())
    for numbers in content:
        content[numbers]["policy"]["confidence"] = content[numbers]["family"]["confidence"] = "my_measure"
    sealed(copied, POLICY, content)
    with pytest.raises(
        ValueError, match="measure 'my_measure' has to be registered first .*confidence.register"
    ) as error:
        Bundle.load(copied)
    assert not isinstance(error.value, DamagedBundle)


def sealed(folder, name, content):
    """Write ``content`` into a bundle as somebody would who renews the checksums too."""
    (folder / name).write_text(json.dumps(content))
    names = json.loads((folder / MANIFEST).read_text())["files"]
    (folder / MANIFEST).write_text(json.dumps(manifest_of(folder, list(names))))


def places(content, path=()):
    """The way to every value in plain data."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=True),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just("module:os.system"),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fields_that_are_changed_with_their_checksums_run_nothing_and_end_in_one_sentence(
    bundle_folder, tmp_path_factory, images, data
):
    """Also for those who renew the checksums: an answer or a sentence, and no code that the folder chooses."""
    name = data.draw(st.sampled_from([ARCHITECTURE, POLICY, MANIFEST]))
    content = json.loads((bundle_folder / name).read_text())
    path = data.draw(st.sampled_from(sorted(places(content), key=str)))
    value = data.draw(ODD)
    if path:
        inside = content
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = value
    else:
        content = value
    folder = tmp_path_factory.mktemp("changed") / "bundle"
    shutil.copytree(bundle_folder, folder, copy_function=os.link)
    (folder / name).unlink()
    if name == MANIFEST:
        (folder / name).write_text(json.dumps(content))
    else:
        manifest = (folder / MANIFEST).read_text()
        (folder / MANIFEST).unlink()
        (folder / MANIFEST).write_text(manifest)
        sealed(folder, name, content)
    with contextlib.suppress(ValueError, OSError):
        load_network(Bundle.load(folder)).predict(images[:2])
    shutil.rmtree(folder.parent)


def test_a_manifest_of_something_else_is_no_bundle(trial, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / MANIFEST).write_text('{"name": "app"}')
    (tmp_path / "app" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds something else than a bundle"):
        export(trial, tmp_path / "app")
    assert (tmp_path / "app" / "thesis.txt").is_file()


def test_a_bundle_with_files_of_somebody_else_is_kept(trial, copied):
    (copied / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds something else than a bundle"):
        export(trial, copied)
    assert (copied / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("exchanges", [True, False])
def test_what_was_there_is_there_again_when_it_is_interrupted(trial, copied, monkeypatch, exchanges):
    """Also where the file system cannot exchange two names, so that nothing is there in between."""
    replace = os.replace

    def interrupted(source, target):
        if str(target) == str(copied) and ".part" in str(source):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(files, "_exchanged", interrupted if exchanges else lambda first, second: False)
    monkeypatch.setattr(files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(trial, copied)
    monkeypatch.undo()
    everything(copied)
    assert [path.name for path in copied.parent.iterdir()] == ["copy"]


def test_what_was_there_is_put_back_where_a_process_was_killed_with_nothing_in_its_place(trial, copied):
    before = Bundle.load(copied).checksums
    gone = files.beside(copied, "old").name.replace(f".{os.getpid()}.", f".{2**22 + 1}.")
    copied.rename(copied.with_name(gone))
    written_bundle._remove_parts(copied)
    assert Bundle.load(copied).checksums == before
    assert [path.name for path in copied.parent.iterdir()] == ["copy"]


def test_a_link_is_followed(trial, tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    export(trial, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target" / MANIFEST).is_file()


def test_names_outside_of_the_bundle_are_refused(copied):
    manifest = json.loads((copied / MANIFEST).read_text())
    manifest["files"]["../secret"] = "0" * 64
    (copied / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DamagedBundle, match="names '../secret', which is not in the bundle"):
        Bundle.load(copied)


def test_data_that_have_changed_since_are_noticed(trial, tmp_path, monkeypatch):
    import importlib

    def shorter(path, field):
        return {name: array[:-1] for name, array in files.read_arrays(path, field).items()}

    monkeypatch.setattr(importlib.import_module("nni_earlyexit.deploy.export"), "read_arrays", shorter)
    with pytest.raises(ValueError, match="data: 'digits' is not as it was when the network was trained"):
        export(trial, tmp_path / "out")
    assert not (tmp_path / "out").exists()
