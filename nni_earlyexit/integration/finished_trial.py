"""A trial that NNI runs again when it resumes, although it had come to its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import nni
from nni_earlyexit.evaluation import record
from nni_earlyexit.search.metrics import flat
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils import files

T = TypeVar("T")


def once(
    folder: Path, sample: Mapping[str, Any], settings: Settings, space: str | None, train: Callable[[], T]
) -> T | dict[str, Any]:
    """The result of ``train``; if this training of this network was finished in ``folder``, that result, reported again.

    ``space`` is the identity of the network's space, ``None`` for any. One process works in ``folder`` at a time.
    """
    with files.claimed(folder):
        files.remove_parts(folder)
        finished = record.finished(folder, sample, settings, space)
        if finished is None:
            return train()
        nni.report_final_result(flat(finished.metrics))
        return finished.metrics
