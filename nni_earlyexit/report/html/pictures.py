"""Inputs that leave early and late, as small pictures: those that most networks of a front agree on."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from nni_earlyexit.report.html.experiment import Experiment
from nni_earlyexit.report.html.network import Fitted
from nni_earlyexit.utils.errors import sentence
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nni_earlyexit.data.splits import Split

EACH = 12
"""Pictures of those that leave first, of those that leave last, and of those between."""
SIDE = 48
"""Most pixels of a picture on a side."""
POLICIES = 8
"""Points of each trade-off by which inputs are called early or late."""


def chosen(networks: Sequence[Fitted]) -> NDArray[np.intp]:
    """Positions in the validation split of inputs that leave early, between, and late, in this order."""
    if not networks:
        return np.empty(0, dtype=np.intp)
    inputs = len(networks[0].labels)
    everything = np.arange(inputs)
    depth = np.zeros(inputs)
    for fitted in networks:
        last = max(1, len(fitted.exit_costs) - 1)
        points = np.unique(np.linspace(0, len(fitted.points) - 1, POLICIES).round().astype(int))
        depth += np.mean([fitted.exits(everything, int(point)) / last for point in points], axis=0)
    order = np.argsort(depth, kind="stable")
    # many leave at the same place: take them from all over the data
    early = np.flatnonzero(depth <= depth[order[:EACH]].max())
    late = np.flatnonzero(depth >= depth[order[-EACH:]].min())
    some = np.unique(np.concatenate([_spread(early), _spread(order), _spread(late)]))
    return some[np.argsort(depth[some], kind="stable")]


def _spread(positions: NDArray[np.intp]) -> NDArray[np.intp]:
    return positions[np.linspace(0, len(positions) - 1, EACH).round().astype(int)]


def pictures(experiment: Experiment, networks: Sequence[Fitted], members: NDArray[np.intp]) -> dict[str, Any]:
    """The ``images`` of validation inputs as PNG data URIs with the names of their classes, or ``why`` there are none."""
    from nni_earlyexit import data

    if not networks or not len(members):
        return {"images": [], "why": ""}
    trial = networks[0].trial
    shape = None if experiment.space is None else experiment.space.input_shape
    if shape is not None and len(shape) != 3:
        return {"images": [], "why": "The inputs are no images."}
    try:
        settings = trial.settings.data if shape is None else trial.settings.data.for_shape(tuple(shape))
        task = data.load_settings(settings, trial.settings.training.seed)
        if len(task.input_shape) != 3:
            return {"images": [], "why": "The inputs are no images."}
        if not np.array_equal(task.validation.y.numpy(), networks[0].labels):
            return {"images": [], "why": "The data are no longer those that the search had."}
        images = [_png(image) for image in _pixels(task.validation, members)]
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        return {"images": [], "why": f"The images cannot be read: {sentence(error)}"}
    labels = task.validation.y.numpy()[members].tolist()
    return {"images": images, "labels": labels, "classes": list(task.class_names), "why": ""}


def _pixels(split: Split, members: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Images (inputs, height, width, channels) from 0 to 255; floats are stretched to that."""
    stored = split.raw(members).numpy()
    if stored.dtype != np.uint8:
        low, high = float(stored.min()), float(stored.max())
        stored = ((stored - low) / max(high - low, 1e-9) * 255).round().astype(np.uint8)
    images = np.moveaxis(stored, 1, -1)
    return images if images.shape[-1] == 3 else images[..., :1]


def _png(image: NDArray[np.uint8]) -> str:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image))
    picture.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    picture.save(content, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
