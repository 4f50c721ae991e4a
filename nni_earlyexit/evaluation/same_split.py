"""The splits of the data that a trained backbone has seen: its new exits must not be judged on what it learned from."""

from __future__ import annotations

from pathlib import Path

from nni_earlyexit.data import registry
from nni_earlyexit.evaluation import record
from nni_earlyexit.space.identity import parse as parse_identity
from nni_earlyexit.training.settings import Settings


def check_same_split(space: str, settings: Settings) -> None:
    """``ValueError`` if a ``space``, an identity, whose backbone was trained here is to see data that it learned from.

    That is so for the same data in other splits: by another seed or other shares.
    """
    asked = parse_identity(space)
    folder = asked.arguments.get("folder") if asked.name == "trained" else None
    trained = None if folder is None else record.load(Path(folder))
    if trained is None:
        return
    before, now = trained.settings.with_whole_paths(), settings.with_whole_paths()
    if registry.parse(before.data.source) != registry.parse(now.data.source):
        return
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
