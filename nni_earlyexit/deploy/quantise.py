"""Segments with 8-bit integers: onnxruntime's static quantisation after training."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.runtime.bundle import INT8
from nni_earlyexit.runtime.onnx_predictor import FEATURES, segment_file
from numpy.typing import NDArray

BATCH = 64


class _Reader:
    """Batches of what goes into a segment, as onnxruntime asks for them; it takes any class with this method."""

    def __init__(self, name: str, x: NDArray[Any]) -> None:
        self._batches: Iterator[dict[str, NDArray[Any]]] = iter(
            {name: x[start : start + BATCH]} for start in range(0, len(x), BATCH)
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next batch, ``None`` after the last."""
        return next(self._batches, None)


def quantise_segments(folder: Path, count: int, x: NDArray[Any]) -> list[str]:
    """Quantise the ``count`` segments in ``folder``; the names of the new files.

    Ranges of activations are those for ``x``, prepared inputs (inputs, ...), in the segments with float32.
    """
    import onnxruntime
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    names = []
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it logs to the root, much that is about itself
    try:
        for segment in range(count):
            whole = folder / segment_file(segment)
            names.append(segment_file(segment, INT8))
            session = onnxruntime.InferenceSession(str(whole), providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name
            with tempfile.TemporaryDirectory() as scratch:
                ready = Path(scratch) / "ready.onnx"
                quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
                quantize_static(
                    str(ready),
                    str(folder / names[-1]),
                    _Reader(name, x),
                    quant_format=QuantFormat.QDQ,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    per_channel=True,
                )
            if segment < count - 1:
                x = np.concatenate(
                    [session.run([FEATURES], {name: x[start : start + BATCH]})[0] for start in range(0, len(x), BATCH)]
                )
    finally:
        logging.getLogger().setLevel(level)
    return names
