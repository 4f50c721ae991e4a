"""What comes out of the stages of a backbone that is kept, computed once and mapped by every branch that learns from it.

Outputs are kept after the pooling that every branch of a stage begins with (:mod:`nni_earlyexit.bank.shared_prefix`). The
folder of a stage holds

=========================================== ===========================================================================
``train.npy``                               outputs (views x inputs, ...) for the training inputs, float16
``validation.npy``, ``calibration.npy``     outputs (inputs, ...), float32, so that logits are those of the network
``index.json``                              their shapes and CRC-32; written last
=========================================== ===========================================================================

Images have their channels last. One view of an input is the input as it is; more are augmented, each as in an epoch of its own.
Where the disk has no room for all stages, they are kept one at a time and computed again when they are asked for.
"""

from __future__ import annotations

import math
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from nni_earlyexit.data.raw import ArrayInputs
from nni_earlyexit.data.splits import Data, Split
from nni_earlyexit.nn.inference import best_device, inference
from nni_earlyexit.training.augmentation import Augmentation
from nni_earlyexit.utils.amounts import format_bytes
from nni_earlyexit.utils.files import checksum_of, claimed, read_array, read_json, write_json
from nni_earlyexit.utils.progress import Say
from numpy.typing import NDArray
from torch import Tensor, nn

FORMAT = 2
PARTS = ("train", "validation", "calibration")
"""Splits whose outputs are kept. Those of the test split are not: nothing may learn or choose by them."""
BATCH = 256
SILENCE_S = 10
"""Seconds after which a word on progress is due."""
LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Backbone:
    """A backbone that is kept.

    Attributes
    ----------
    stem, stages
        Its layers, in evaluation mode.
    prefixes
        What the branches of a stage begin with, by the number of the stage.
    head
        Its own classifier, after the last stage.
    """

    stem: nn.Module
    stages: Sequence[nn.Module]
    prefixes: Mapping[int, nn.Sequential]
    head: nn.Module

    def outputs(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The pooled output of each stage in turn, with its number, and at last the logits."""
        x = self.stem(x.to(best_device()))
        for stage, blocks in enumerate(self.stages):
            x = blocks(x)
            if stage in self.prefixes:
                yield stage, self.prefixes[stage](x).cpu()
        yield len(self.stages), self.head(x).cpu()


@dataclass(frozen=True)
class _StoredInputs(ArrayInputs):
    """Outputs of a stage as the inputs of its branches."""

    def read(self, positions: NDArray[np.integer]) -> Tensor:
        """The outputs at ``positions``, float32."""
        return super().read(positions).float()


class StageOutputs:
    """The outputs of a backbone's stages for a data set.

    Parameters
    ----------
    backbone
        The backbone.
    data
        The data set, prepared as the backbone takes it.
    folder
        The folder that they are kept in.
    augmentation
        The changes of the views of a training input.
    views
        How many views of each training input are kept; one is the input as it is.
    say
        Hears of the progress, and of the size before it is written.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: Data,
        folder: Path,
        augmentation: Augmentation,
        *,
        views: int = 1,
        say: Say = lambda line: None,
    ) -> None:
        self._backbone, self._data, self._folder = backbone, data, folder
        self._augmentation, self._views, self._say = augmentation, views, say
        self._sound: set[int] = set()  # stages whose files this process has compared with their checksums

    def of(self, stage: int) -> Data:
        """The outputs of ``stage`` as data that its branches learn from; the test split is empty.

        They are computed if they are not there, and those of the other stages with them as far as the disk has room.
        """
        stored = self._stored(stage)
        if stored is not None:
            return stored
        self._folder.mkdir(parents=True, exist_ok=True)
        with claimed(self._folder, lambda: self._say("waits for another process that computes the stages' outputs")):
            if (stored := self._stored(stage)) is None:
                self._compute(stage)
                stored = self._stored(stage)
        if stored is None:
            raise OSError(f"bank: the outputs of stage {stage} are gone from {str(self._folder)!r}")
        return stored

    def logits(self) -> dict[str, NDArray[np.float32]]:
        """Logits (inputs, classes) of the backbone's own classifier on the validation and the calibration split."""
        with inference(self._module()):
            return {part: torch.cat(list(self._logits(part))).numpy() for part in PARTS[1:]}

    def _logits(self, part: str) -> Iterator[Tensor]:
        for x in getattr(self._data, part).parts():
            for _, y in self._backbone.outputs(x):
                last = y
            yield last.float()

    def _module(self) -> nn.Module:
        """All of the backbone, where it computes fastest."""
        backbone = self._backbone
        whole = nn.ModuleList([backbone.stem, *backbone.stages, *backbone.prefixes.values(), backbone.head])
        return whole.to(best_device())

    def _place(self, stage: int) -> Path:
        return self._folder / f"stage{stage}"

    def _stored(self, stage: int) -> Data | None:
        """The outputs of ``stage`` as they are mapped, if they are there and whole."""
        place = self._place(stage)
        try:
            index = read_json(place / "index.json", "index.json")
            arrays = {part: read_array(place / f"{part}.npy", mapped=True) for part in PARTS}
            expected = {part: ((self._count(part), *index["shape"]), _dtype(part)) for part in PARTS}
            if [index["format"], index["prefix"]] != [FORMAT, repr(self._backbone.prefixes[stage])] or any(
                (arrays[part].shape, arrays[part].dtype) != expected[part] for part in PARTS
            ):
                return None
            if stage not in self._sound and index["checksums"] != {part: checksum_of(arrays[part]) for part in PARTS}:
                self._say(f"bank: the outputs of stage {stage} in {str(place)!r} are damaged; they are computed again")
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self._sound.add(stage)
        labels = {part: getattr(self._data, part).y for part in PARTS}
        labels["train"] = labels["train"].repeat(self._views)
        train, validation, calibration = (Split(_inputs(arrays[part]), labels[part]) for part in PARTS)
        nothing = Split(_inputs(arrays["validation"][:0]), labels["validation"][:0])
        return Data(self._data.name, self._data.num_classes, train, validation, calibration, nothing)

    def _count(self, part: str) -> int:
        return len(getattr(self._data, part)) * (self._views if part == "train" else 1)

    def _compute(self, wanted: int) -> None:
        """Compute the outputs of all stages that are missing, or of ``wanted`` alone where the disk is short."""
        with inference(self._module()):
            shapes = self._shapes()
            missing = [stage for stage in shapes if self._stored(stage) is None]
            free = shutil.disk_usage(self._folder).free
            if self._size(shapes, missing) > free:
                for stage in shapes:
                    shutil.rmtree(self._place(stage), ignore_errors=True)
                free, missing = shutil.disk_usage(self._folder).free, [wanted]
            needed = self._size(shapes, missing)
            if needed > free:
                raise OSError(
                    f"bank: {str(self._folder)!r} has {format_bytes(free)} free, and the outputs of stage {wanted} for "
                    f"{self._views} views of the training inputs need {format_bytes(needed)}; fewer views or another folder "
                    "are possible"
                )
            which = "stage " + ", ".join(map(str, missing))
            self._say(f"computes what comes out of {which} for every input: {format_bytes(needed)} in {self._folder}")
            start = time.monotonic()
            try:
                self._write({stage: shapes[stage] for stage in missing})
            except OSError as error:
                for stage in missing:
                    shutil.rmtree(self._place(stage), ignore_errors=True)
                raise OSError(
                    f"bank: {str(self._folder)!r} cannot hold {format_bytes(needed)}: {error.strerror or error}"
                ) from None
            self._say(f"computed them in {time.monotonic() - start:.0f} s")

    def _shapes(self) -> dict[int, tuple[int, ...]]:
        """Shape of one stored output of each stage."""
        x = self._data.validation.prepared(slice(1))
        outputs = dict(self._backbone.outputs(x))
        return {stage: tuple(_stored_form(outputs[stage]).shape[1:]) for stage in self._backbone.prefixes}

    def _size(self, shapes: Mapping[int, tuple[int, ...]], stages: Sequence[int]) -> int:
        """Bytes of the outputs of ``stages``."""
        each = sum(math.prod(shapes[stage]) for stage in stages)
        return each * sum(self._count(part) * (2 if part == "train" else 4) for part in PARTS)

    def _write(self, shapes: Mapping[int, tuple[int, ...]]) -> None:
        checksums = {stage: dict.fromkeys(PARTS, 0) for stage in shapes}
        for stage in shapes:
            shutil.rmtree(self._place(stage), ignore_errors=True)
            self._place(stage).mkdir()
        done, total, last = 0, sum(map(self._count, PARTS)), time.monotonic()
        for part in PARTS:
            dtype = _dtype(part)
            with ExitStack() as stack:
                files = {
                    stage: stack.enter_context((self._place(stage) / f"{part}.npy").open("wb")) for stage in shapes
                }
                for stage, file in files.items():
                    _write_header(file, dtype, (self._count(part), *shapes[stage]))
                for x in self._inputs(part):
                    for stage, y in self._backbone.outputs(x):
                        if stage in files:
                            array = _stored_form(y).float().numpy()
                            # not through a mapping, for a full disk would end the process there without a word
                            content = np.clip(array, -LARGEST, LARGEST).astype(dtype).tobytes()
                            checksums[stage][part] = zlib.crc32(content, checksums[stage][part])
                            files[stage].write(content)
                    done += len(x)
                    if time.monotonic() - last > SILENCE_S:
                        last = time.monotonic()
                        self._say(f"computed the outputs of {done:,} of {total:,} inputs")
                for file in files.values():
                    file.flush()
                    os.fsync(file.fileno())
        for stage, shape in shapes.items():
            write_json(
                self._place(stage) / "index.json",
                {
                    "format": FORMAT,
                    "shape": list(shape),
                    "prefix": repr(self._backbone.prefixes[stage]),
                    "checksums": checksums[stage],
                },
            )

    def _inputs(self, part: str) -> Iterator[Tensor]:
        """Inputs of a split in turn as the backbone takes them; of the training split all views, one after the other."""
        split: Split = getattr(self._data, part)
        if part != "train" or self._views == 1:
            yield from split.parts()
            return
        for view in range(self._views):
            for start in range(0, len(split), BATCH):
                places = torch.arange(start, min(start + BATCH, len(split)))
                x = self._augmentation(split.raw(places.numpy()), places, view)
                yield x if split.preprocessing is None else split.preprocessing(x)


def _stored_form(y: Tensor) -> Tensor:
    """A batch of outputs as it is stored: images with their channels last."""
    return y.permute(0, 2, 3, 1) if y.ndim == 4 else y


def _inputs(array: NDArray[Any]) -> _StoredInputs:
    return _StoredInputs(array, channels_last=array.ndim == 4)


def _dtype(part: str) -> np.dtype[Any]:
    return np.dtype(np.float16 if part == "train" else np.float32)


def _write_header(file: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
