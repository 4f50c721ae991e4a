"""An exported network on onnxruntime: one file per segment, and the policy between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.runtime.bundle import FLOAT32, Bundle, DamagedBundle
from nni_earlyexit.runtime.preparing import Preparation
from nni_earlyexit.runtime.routing import Prediction, Router, measure
from nni_earlyexit.runtime.watch import Watch
from nni_earlyexit.thresholds.policy import ExitPolicy
from numpy.typing import NDArray

FEATURES, LOGITS = "features", "logits"
"""Names of what comes out of a segment."""
NESTED = "onnx/nested.onnx"
"""The file of a bundle that holds the whole network, and leaves early by itself."""


def segment_file(segment: int, numbers: str = FLOAT32) -> str:
    """The name of a segment's file in a bundle."""
    return f"onnx/{'' if numbers == FLOAT32 else f'{numbers}-'}segment{segment}.onnx"


class OnnxSegments:
    """Segments as sessions of onnxruntime.

    It runs the whole of a graph whatever is asked for, so the branch of an exit that a policy drops runs, too. A bundle has
    no such exits under the policy that it was exported with, unless it was told to keep them.

    Parameters
    ----------
    files
        The file of each segment.
    threads
        Threads of each session; one per core by default.

    Raises
    ------
    DamagedBundle
        For a file that onnxruntime cannot run.
    """

    def __init__(self, files: Sequence[Path], threads: int | None = None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = options.inter_op_num_threads = threads
        self._sessions = []
        for path in files:
            try:
                session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            except Exception as error:  # onnxruntime has a class of its own for each of a dozen causes
                raise DamagedBundle(
                    f"bundle: {str(path)!r} cannot be run: {' '.join(str(error).split())[:300]}"
                ) from None
            self._sessions.append(session)
        self._inputs = [session.get_inputs()[0].name for session in self._sessions]

    @classmethod
    def of_bundle(cls, bundle: Bundle, numbers: str = FLOAT32, threads: int | None = None) -> OnnxSegments:
        """The segments of a bundle; ``FileNotFoundError`` where it was exported without them."""
        count = len(bundle.architecture.exit_costs)
        return cls([bundle.file(segment_file(segment, numbers)) for segment in range(count)], threads)

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(self._sessions)

    def begin(self, x: NDArray[Any]) -> NDArray[Any]:
        """The batch itself."""
        return x

    def run(self, segment: int, x: NDArray[Any], *, with_exit: bool) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        """The output of a segment, and its exit's logits if ``with_exit``; its branch runs in any case."""
        last = segment == self.count - 1
        wanted = [*([] if last else [FEATURES]), *([LOGITS] if with_exit else [])]
        out = self._sessions[segment].run(wanted or [LOGITS], {self._inputs[segment]: x})
        return (x if last else out[0]), (out[-1] if with_exit else None)

    def take(self, x: NDArray[Any], inputs: NDArray[np.intp]) -> NDArray[Any]:
        """Some inputs of a batch."""
        return x[inputs]


class OnnxPredictor:
    """Answers images or sentences with an exported network, and no torch.

    Parameters
    ----------
    bundle
        The bundle, exported with ``--onnx``.
    threads
        Threads of each segment; one per core by default.
    numbers
        ``"float32"``, or ``"int8"`` for the quantised segments.

    Attributes
    ----------
    policy
        The policy by which inputs leave; another one of ``bundle.policy_at(...)`` may be put there at any time.
    watch
        Compares the exits with those of the test inputs, and warns where the promise no longer holds; ``None`` does not.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None, numbers: str = FLOAT32) -> None:
        self.bundle, self.policy = bundle, bundle.fit(numbers).policy
        self.watch: Watch | None = Watch(bundle.fit(numbers))
        self._prepared = Preparation(bundle.architecture.preprocessing)
        self._router = Router(OnnxSegments.of_bundle(bundle, numbers, threads), bundle.architecture.num_classes)

    @classmethod
    def load(cls, folder: str | Path, *, threads: int | None = None, numbers: str = FLOAT32) -> OnnxPredictor:
        """The predictor of the bundle in ``folder``."""
        return cls(Bundle.load(folder), threads=threads, numbers=numbers)

    def __call__(self, images: Any) -> Prediction:
        """Answer ``images``; see :class:`~nni_earlyexit.runtime.preparing.Preparation` for what they may be."""
        policy: ExitPolicy = self.policy  # the same for the whole batch, whatever is put there meanwhile
        spent = np.asarray(self.bundle.costs_under(policy))
        answers = self._router(self._prepared(images), policy, spent)
        if self.watch is not None:
            self.watch.add(policy, answers.exits)
        return answers

    def measure(self, batch_size: int = 64) -> None:
        """Measure how long the segments take here, so that only what pays is taken out of batches up to this size."""
        shape = (batch_size, *self.bundle.architecture.input_shape)
        x = np.ones(shape, np.int64) if self.bundle.architecture.tokens else np.zeros(shape, np.float32)
        self._router.timings = measure(self._router.segments, x)
