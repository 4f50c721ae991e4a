"""The data that a trained backbone has seen: new exits must not be judged on what it learned from, nor see it otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nni_earlyexit.data import registry
from nni_earlyexit.data.splits import Data
from nni_earlyexit.evaluation import record
from nni_earlyexit.evaluation.record import Record
from nni_earlyexit.space.identity import parse as parse_identity
from nni_earlyexit.training.settings import Settings


def check_same_split(space: str, settings: Settings) -> None:
    """``ValueError`` if a ``space``, an identity, whose backbone was trained here is to see data that it learned from.

    That is so for the same data in other splits: by another seed or other shares.
    """
    trained = _backbone(space)
    if trained is None or not _is_same_source(trained, settings):
        return
    before, now = trained.settings, settings
    if before.training.seed != now.training.seed:
        raise ValueError(
            f"seed: {now.training.seed} splits the data otherwise than {before.training.seed}, that of the backbone"
        )
    for name in ("validation_share", "calibration_share", "test_share", "most_inputs", "mean", "std", "vocabulary"):
        if getattr(before.data, name) != getattr(now.data, name):
            raise ValueError(
                f"{name}: {getattr(now.data, name)} is not that of the backbone, {getattr(before.data, name)}; its splits and "
                "preparation of the data must stay"
            )


def check_same_data(space: str, settings: Settings, data: Data) -> None:
    """``ValueError`` unless ``data``, which ``settings`` describe, are still those that the backbone of ``space`` learned from.

    Of other data, if they are prepared otherwise than those: with other numbers for words, or normalised otherwise. Images are
    always prepared as those of the backbone.
    """
    trained = _backbone(space)
    if trained is None:
        return
    if _is_same_source(trained, settings):
        for part, labels in trained.labels().items():
            if not np.array_equal(labels, getattr(data, part).y.numpy()):
                raise ValueError(
                    f"data: {data.name!r} is not as it was when the backbone was trained; its {part} split is another one"
                )
    before, now = trained.preprocessing(), data.preprocessing
    if before is None or now.pixels:
        return
    if before.vocabulary != now.vocabulary:
        raise ValueError(
            f"data: the words of {data.name!r} have other numbers than when the backbone was trained; its own data are needed"
        )
    if (before.mean, before.std) != (now.mean, now.std):
        raise ValueError(
            f"data: {data.name!r} is normalised otherwise than when the backbone was trained; its own data are needed"
        )


def _backbone(space: str) -> Record | None:
    """The training of the backbone of ``space``, if it was trained here."""
    asked = parse_identity(space)
    folder = asked.arguments.get("folder") if asked.name == "trained" else None
    return None if folder is None else record.load(Path(folder))


def _is_same_source(trained: Record, settings: Settings) -> bool:
    before, now = (each.data.with_whole_paths() for each in (trained.settings, settings))
    return registry.parse(before.source) == registry.parse(now.source)
