"""Loading a data set: from its name to four splits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from nni_earlyexit.data import registry
from nni_earlyexit.data.raw import ArrayInputs, Inputs, Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.splits import Data, cut
from nni_earlyexit.data.streamed import ResizedInputs
from nni_earlyexit.nn.preprocessing import resized
from nni_earlyexit.utils.progress import Say


def load(source: str, seed: int = 0, input_shape: tuple[int, ...] | None = None, **options: Any) -> Data:
    """The data set called ``source``, such as ``digits``, ``cifar10``, ``folder:PATH`` or ``npz:PATH``.

    ``seed`` fixes the splits. ``input_shape`` is (channels, height, width) that images are resized to, or (tokens,) of
    sentences. ``options`` are those of :class:`DataSettings`.
    """
    return load_settings(DataSettings(source, input_shape, **options), seed)


def load_settings(settings: DataSettings, seed: int, say: Say = lambda line: None) -> Data:
    """The data that ``settings`` describe, inputs normalised by the training split; ``say`` hears what takes long."""
    return cut(settings.source, read_raw(settings, say), settings, seed)


def read_raw(settings: DataSettings, say: Say = lambda line: None) -> Raw:
    """The data that ``settings`` describe, as they were read."""
    settings.check_there()
    source = registry.parse(settings.source)
    raw: Raw = source.module.read(settings, source.path, say)
    shape = settings.input_shape
    if shape is None or raw.inputs is None or raw.inputs.input_shape == shape:
        return raw
    inputs = raw.inputs
    if len(inputs.input_shape) != 3 or len(shape) != 3 or inputs.input_shape[0] not in (1, shape[0]):
        raise ValueError(
            f"input_shape: inputs {inputs.input_shape} of {settings.source!r} cannot be made {tuple(shape)}"
        )
    if inputs.streams or len(inputs) * math.prod(shape) > settings.cache_limit:
        return replace(raw, inputs=ResizedInputs(inputs, shape))
    return _resized(raw, inputs, shape)


def _resized(raw: Raw, inputs: Inputs, shape: tuple[int, ...]) -> Raw:
    """The same with all images of an array resized."""
    parts = []
    for start in range(0, len(inputs), 1024):
        x = inputs.read(np.arange(start, min(start + 1024, len(inputs))))
        parts.append(resized(x.expand(-1, shape[0], -1, -1), shape[1:]))
    images = torch.cat(parts).permute(0, 2, 3, 1).contiguous().numpy()
    return replace(raw, inputs=ArrayInputs(images, channels_last=True))
