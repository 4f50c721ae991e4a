"""Training one network of a space, without a search: it goes on where it was after whatever ended it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from nni_earlyexit import data as data_sets
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.evaluation import Train, evaluate
from nni_earlyexit.evaluation.from_supernet import read_supernet, taking_weights
from nni_earlyexit.evaluation.same_split import check_same_data, check_same_split
from nni_earlyexit.nn.logits import exit_logits
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.search.costs import ExitSeconds
from nni_earlyexit.space import latency_table
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.training.checkpoint import Checkpoint
from nni_earlyexit.training.exit_weights import check_number_of_weights
from nni_earlyexit.training.fit import fit
from nni_earlyexit.training.monitor import Monitor
from nni_earlyexit.training.optimizer import check_optimizer
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import files
from nni_earlyexit.utils.named_function import named_function
from nni_earlyexit.utils.progress import Say
from nni_earlyexit.utils.tables import aligned
from numpy.typing import NDArray

TASK, CHECKPOINT = "training.json", "training.ckpt"
"""Files of a training that is under way: what it is, and how far it is."""
CHOSEN = ("largest", "smallest", "random")


def choose_sample(space: EarlyExitSpace, sample: str, seed: int) -> dict[str, Any]:
    """The sample that a user names: ``largest``, ``smallest``, ``random``, a JSON file, or the folder of a trial.

    Raises ``ValueError`` or ``FileNotFoundError`` where there is none, or one of another space.
    """
    if sample == "random":
        return space.sample(np.random.default_rng(seed))
    if sample in CHOSEN:
        return space.extreme(space.exit_costs, exit=-1, most=sample == "largest")[0]
    path = Path(sample)
    if path.is_dir():
        path = path / record.SUMMARY
    if not path.is_file():
        raise FileNotFoundError(
            f"sample: {sample!r} is not possible; {', '.join(CHOSEN)}, a JSON file or the folder of a trial is"
        )
    content = files.read_json(path, "sample")
    if isinstance(content, Mapping) and isinstance(content.get("sample"), Mapping):
        content = content["sample"]
    if not isinstance(content, Mapping):
        raise ValueError(f"sample: {str(path)!r} does not hold an object with a value for each label")
    return space.canonical({label: value for label, value in content.items() if label != "space"})


@dataclass(frozen=True)
class Judgement:
    """A trained network, judged at each of its exits.

    Attributes
    ----------
    network
        The network.
    metrics
        The metrics of its operating point on validation data.
    exit_costs
        MACs to leave at each exit.
    validation, test
        Accuracy of each exit alone.
    by_class
        Test accuracy of each exit for the inputs of each class, by the name of the class.
    """

    network: EarlyExitNetwork
    metrics: Mapping[str, Any]
    exit_costs: Sequence[int]
    validation: Sequence[float]
    test: Sequence[float]
    by_class: Mapping[str, Sequence[float]]

    def rows(self) -> list[dict[str, Any]]:
        """Costs (MACs) and accuracies of the exits, as plain data."""
        return [
            {"exit": exit, "macs": int(cost), "validation_accuracy": float(valid), "test_accuracy": float(test)}
            for exit, (cost, valid, test) in enumerate(zip(self.exit_costs, self.validation, self.test, strict=True))
        ]

    def table(self) -> str:
        """The :meth:`rows` as text."""
        rows = [
            [f"{row['exit']}", f"{row['macs']:,}", f"{row['validation_accuracy']:.2%}", f"{row['test_accuracy']:.2%}"]
            for row in self.rows()
        ]
        return aligned(["exit", "MACs", "validation", "test"], rows)

    def class_table(self) -> str:
        """A table of the classes, that with the lowest test accuracy at the last exit first."""
        rows = [
            [name, *(f"{accuracy:.1%}" for accuracy in accuracies)]
            for name, accuracies in sorted(self.by_class.items(), key=lambda item: item[1][-1])
        ]
        return aligned(["class", *(f"exit {exit}" for exit in range(len(self.exit_costs)))], rows)


def train_one(
    space: EarlyExitSpace,
    sample: Mapping[str, Any],
    settings: Settings,
    folder: Path,
    say: Say = print,
    *,
    bar: Callable[[], pl.Callback] | None = None,
    begin: record.Record | None = None,
) -> Judgement:
    """Train the network that ``sample`` means, write it to ``folder`` as a trial does, and judge it on the test split.

    Parameters
    ----------
    space, sample, settings
        The network and how it is trained.
    folder
        The folder of the result; of a training that was interrupted, it goes on where the last whole epoch ended.
    say
        Hears of the progress.
    bar
        Makes a progress bar of Lightning's; without it, there is a line after each epoch.
    begin
        Trial of the same network whose weights the training begins with; new ones by default.

    Raises
    ------
    ValueError
        For a folder that holds another training.
    """
    settings = settings.with_whole_paths().for_network(space.input_shape)
    task = {"space": space.identity(), "sample": dict(sample), "settings": json.loads(json.dumps(settings.to_dict()))}
    if begin is not None:
        task["begin"] = begin.checksums.get(record.WEIGHTS)
    _check_free(folder, task)
    check_same_split(space.identity(), settings)
    recipe = settings.training
    if recipe.bank is not None:
        raise ValueError("bank: it is for trials and for 'nni-earlyexit exits'; leave it out")
    check_optimizer(recipe.optimizer)
    check_number_of_weights(recipe.exit_weights, len(space.network.stages))
    data = data_sets.load_settings(settings.data, recipe.seed, say)
    data_sets.check_fits(data, space)
    check_same_data(space.identity(), settings, data)
    for note in data.notes:
        say(note)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    own = None if recipe.train is None else named_function("train", recipe.train)
    torch.manual_seed(recipe.seed)
    network = space.freeze(sample) if begin is None else begin.network()
    latencies = latency_table.latencies(settings.limits.latency_table, space)
    latency = None if latencies is None else latencies.seconds(sample)
    files.make_folder(folder)
    with files.claimed(folder):
        network, metrics = _trained(network, data, settings, latency, folder, task, own, say, bar)
    data = data.for_network(network)
    right, labels = _right(network, data.test), data.test.y.numpy()
    return Judgement(
        network,
        metrics,
        network.exit_costs,
        _right(network, data.validation).mean(axis=0).tolist(),
        right.mean(axis=0).tolist(),
        {
            name: right[labels == label].mean(axis=0).tolist()
            for label, name in enumerate(data.class_names)
            if (labels == label).any()
        },
    )


def _trained(
    network: EarlyExitNetwork,
    data: data_sets.Data,
    settings: Settings,
    latency: ExitSeconds | None,
    folder: Path,
    task: Mapping[str, Any],
    own: Train | None,
    say: Say,
    bar: Callable[[], pl.Callback] | None,
) -> tuple[EarlyExitNetwork, Mapping[str, Any]]:
    """The trained network and its metrics; ``own`` is a function of the user's that trains."""
    _check_free(folder, task)
    recipe = settings.training
    finished = record.finished(folder, network.sample, settings, network.space)
    if finished is not None:
        say(f"{folder}: this training was finished before")
        network, metrics = finished.network(), finished.metrics
    else:
        files.write_json(folder / TASK, task)
        with Monitor.writing(folder if recipe.tensorboard else None) as monitor:

            def after_epoch(metrics: Mapping[str, Any]) -> bool:
                monitor.epoch(metrics)
                exits = " ".join(f"{metrics[f'exit{stage}_accuracy']:.2%}" for stage in network.exit_stages)
                say(f"epoch {metrics['epochs']} of {recipe.epochs}: validation accuracy of the exits {exits}")
                return True

            callbacks = [*monitor.callbacks, *([] if bar is None else [bar()])]
            train = own or partial(fit, callbacks=callbacks, checkpoint=folder / CHECKPOINT, say=say)
            if recipe.weights is not None:
                supernet = read_supernet(recipe.weights, network, data)
                train = taking_weights(supernet, train if recipe.finetune else None)
            result = evaluate(network, data, settings, latency=latency, after_epoch=after_epoch, train=train)
        if result.policy is None:
            raise ValueError("sample: this network misses a limit and is not trained")
        record.save(result, folder, settings)
        Checkpoint.remove(folder / CHECKPOINT)
        metrics = result.metrics
    return network, metrics


def _check_free(folder: Path, task: Mapping[str, Any]) -> None:
    """``ValueError`` if something of another training than ``task`` lies in ``folder`` that would be lost."""
    if not (Checkpoint.exists(folder / CHECKPOINT) or (folder / record.SUMMARY).is_file()):
        return
    path = folder / TASK
    if not path.is_file():
        raise ValueError(f"output: {str(folder)!r} holds a trial of an experiment; choose another folder")
    other = files.read_json(path, "output")
    if other != task:
        differs = next((name for name in task if not isinstance(other, Mapping) or other.get(name) != task[name]), "it")
        raise ValueError(f"output: {str(folder)!r} holds a training with another {differs}; choose another folder")


def _right(network: EarlyExitNetwork, split: data_sets.Split) -> NDArray[np.bool_]:
    """``True`` (inputs, exits) where an exit alone is right."""
    logits = exit_logits(network, split.parts())
    return np.asarray(logits.argmax(axis=-1) == split.y.numpy()[:, None])
