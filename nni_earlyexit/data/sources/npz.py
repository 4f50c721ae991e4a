"""Arrays in a ``.npz`` file.

=========================== ======================================================================================
``x``, ``y``                inputs (inputs, ...) and their classes (inputs,), integers from 0; split by the seed
``x_train``, ``y_train``    the same, where ``x_test`` and ``y_test`` hold a test split of their own
``class_names``             names of the classes, if there are any
=========================== ======================================================================================

Inputs of four dimensions are images, channels first or last; those of uint8 are pixels from 0 to 255. Rows of integers
(inputs, tokens) are token ids and stay as they are. Anything else is numbers, normalised along its first axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from nni_earlyexit.data.raw import ArrayInputs, Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.utils import files
from nni_earlyexit.utils.paths import expanded
from nni_earlyexit.utils.progress import Say
from numpy.typing import NDArray

PATH = "PATH"
RESIZES = False

CHANNELS = (1, 3)
"""Channels of an image by which its layout is told."""


def check(settings: DataSettings, path: str) -> None:
    """``FileNotFoundError`` unless the file is there."""
    if not expanded(path).is_file():
        raise FileNotFoundError(f"data: there is no file {path!r}")


def read(settings: DataSettings, path: str, say: Say) -> Raw:
    """The arrays of the file."""
    return from_arrays(path, files.read_arrays(expanded(path), "data"))


def from_arrays(path: str, arrays: Mapping[str, NDArray[Any]]) -> Raw:
    """Raw data of arrays by their names; ``ValueError`` in one sentence, which says ``path``, for others."""
    suffixes = ("_train", "_test") if "x_train" in arrays or "y_train" in arrays else ("",)
    for name in (f"{letter}{suffix}" for suffix in suffixes for letter in "xy"):
        if name not in arrays:
            wanted = "x_train, y_train, x_test and y_test" if len(suffixes) > 1 else "x (inputs, ...) and y (inputs,)"
            raise ValueError(f"data: {path!r} lacks the array {name!r}; {wanted} are needed")
    x, y = [arrays[f"x{suffix}"] for suffix in suffixes], [arrays[f"y{suffix}"] for suffix in suffixes]
    for suffix, inputs, labels in zip(suffixes, x, y, strict=True):
        _check_arrays(path, suffix, inputs, labels)
    if x[0].shape[1:] != x[-1].shape[1:] or x[0].dtype != x[-1].dtype:
        raise ValueError(
            f"data: in {path!r}, x_train holds {x[0].dtype} {x[0].shape[1:]} and x_test {x[-1].dtype} {x[-1].shape[1:]}; "
            "they must be alike"
        )
    every, labels = np.concatenate(x), np.concatenate(y)
    _check_classes(path, y[0])
    if y[-1].min() < 0:  # as sets whose test classes are kept secret have it
        raise ValueError(f"data: in {path!r}, y_test holds class {y[-1].min()}; classes are integers from 0")
    if y[-1].max() > y[0].max():
        raise ValueError(f"data: in {path!r}, y_test holds class {y[-1].max()}, which y_train lacks")
    official = {"test": np.arange(len(x[0]), len(every))} if len(x) > 1 else {}
    names = tuple(map(str, arrays["class_names"].tolist())) if "class_names" in arrays else ()
    if names and len(names) != y[0].max() + 1:
        raise ValueError(
            f"data: in {path!r}, class_names are {len(names)} for {y[0].max() + 1} classes; one each is needed"
        )
    return Raw(_layout(every), labels.astype(np.int64), names, official, pixels=_are_pixels(every))


def _layout(x: NDArray[Any]) -> ArrayInputs:
    last = x.ndim == 4 and x.shape[-1] in CHANNELS and x.shape[1] not in CHANNELS
    if _are_pixels(x):
        return ArrayInputs(x if last else np.ascontiguousarray(x.transpose(0, 2, 3, 1)), channels_last=True)
    if _are_tokens(x):
        return ArrayInputs(x.astype(np.int64))
    with np.errstate(over="ignore"):  # it is looked at when they are normalised
        return ArrayInputs(np.asarray(x, dtype=np.float32), channels_last=last)


def _are_pixels(x: NDArray[Any]) -> bool:
    return x.ndim == 4 and x.dtype == np.uint8


def _are_tokens(x: NDArray[Any]) -> bool:
    return x.ndim == 2 and x.dtype.kind in "iu"


def _check_arrays(path: str, suffix: str, x: NDArray[Any], y: NDArray[Any]) -> None:
    """``ValueError`` in one sentence unless ``x`` are inputs and ``y`` integers, one each."""
    xs, ys = f"x{suffix}", f"y{suffix}"
    if x.ndim < 2 or y.shape != x.shape[:1]:
        raise ValueError(
            f"data: in {path!r}, {xs} has shape {x.shape} and {ys} {y.shape}; (inputs, ...) and (inputs,) are needed"
        )
    if 0 in x.shape:
        raise ValueError(f"data: in {path!r}, {xs} has shape {x.shape}, so that there is nothing in an input")
    if x.dtype.kind not in "fiub":
        raise ValueError(f"data: in {path!r}, {xs} is {x.dtype}; inputs must be real numbers")
    if not np.isfinite(x).all():
        raise ValueError(f"data: in {path!r}, {xs} holds NaN or infinite values")
    if _are_tokens(x) and (x < 0).any():
        raise ValueError(f"data: in {path!r}, {xs} holds {x.min()}; rows of integers are token ids, which are from 0")
    if y.dtype.kind not in "iu":  # numpy counts time spans as integers
        raise ValueError(f"data: in {path!r}, {ys} is {y.dtype}; classes must be integers from 0")


def _check_classes(path: str, y: NDArray[Any]) -> None:
    """``ValueError`` in one sentence unless the training classes are 0, 1, ..., two or more, none of them empty."""
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(f"data: {path!r} has {len(classes)} class; at least 2 are needed")
    if classes[0] != 0 or classes[-1] != len(classes) - 1:
        raise ValueError(
            f"data: in {path!r}, y runs from {classes[0]} to {classes[-1]} with {len(classes)} different classes; "
            f"they must be 0 to {len(classes) - 1}"
        )
