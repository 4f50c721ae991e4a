"""Sources of inputs and classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from nni_earlyexit.data.registry import check_data_name
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.splits import Data, check_arrays, split
from nni_earlyexit.utils import files
from numpy.typing import NDArray
from torch.nn.functional import interpolate


def _digits() -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """scikit-learn's 1,797 handwritten digits, (1, 8, 8) pixels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images.reshape(-1, 1, 8, 8) / 16, labels


def load_settings(settings: DataSettings, seed: int) -> Data:
    """The data that ``settings`` describe; see :func:`load`."""
    return load(settings.source, seed, settings.input_shape)


def load(name: str, seed: int = 0, input_shape: tuple[int, ...] | None = None) -> Data:
    """The data set called ``name``, or the arrays ``x`` (inputs, *input_shape) and ``y`` (inputs,) of a ``.npz`` file.

    Inputs are normalised with mean and standard deviation of the training split, per channel; rows of integers are token
    ids and stay as they are. ``seed`` fixes the splits, which hold the same share of each class. Images are resized to
    ``input_shape`` (channels, height, width) when it is given, grey ones repeated to its channels.
    """
    check_data_name(name)
    if name == "digits":
        x, y = _digits()
    else:
        arrays = files.read_arrays(Path(name), "data")
        missing = {"x", "y"} - set(arrays)
        if missing:
            raise ValueError(
                f"data: {name!r} lacks the array {min(missing)!r}; x (inputs, ...) and y (inputs,) are needed"
            )
        x, y = arrays["x"], arrays["y"]
    check_arrays(name, x, y)
    return split(name, x if input_shape is None else _resized(name, x, input_shape), y, seed)


def _resized(source: str, x: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    if x.shape[1:] == shape:
        return x
    if x.ndim != 4 or len(shape) != 3 or x.shape[1] not in (1, shape[0]):
        raise ValueError(f"input_shape: inputs {x.shape[1:]} of {source!r} cannot be made {shape}")
    images = torch.from_numpy(x.astype(np.float32)).expand(-1, shape[0], -1, -1)
    return interpolate(images, shape[1:], mode="bilinear", antialias=True).numpy()
