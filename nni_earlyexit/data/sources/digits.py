"""scikit-learn's 1,797 handwritten digits, grey images of (1, 8, 8) pixels; they come with the package."""

from __future__ import annotations

import numpy as np
from nni_earlyexit.data.raw import ArrayInputs, Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.utils.progress import Say

PATH = ""
RESIZES = False


def files(settings: DataSettings) -> list[str]:
    """None: they come with scikit-learn."""
    return []


def check(settings: DataSettings, path: str) -> None:
    """They are always there."""


def read(settings: DataSettings, path: str, say: Say) -> Raw:
    """The digits, from 0 to 1."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = (images.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    return Raw(ArrayInputs(x), labels.astype(np.int64))
