"""The data of a task, as settings: checked plain data, without torch."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from nni_earlyexit.data import registry
from nni_earlyexit.utils.amounts import parse_share
from nni_earlyexit.utils.checks import Check, boolean, is_number, is_whole, list_of, optional, positive, whole_number
from nni_earlyexit.utils.options import check_options, option
from nni_earlyexit.utils.paths import expanded

MAX_INPUT = 2**24
"""Numbers in one input: 3 x 2048 x 2048 pixels are fewer."""
UNSPLIT = {"validation": 0.15, "calibration": 0.1, "test": 0.2}
"""Shares of data that come without a test split."""
SPLIT = {"validation": 0.05, "calibration": 0.05, "test": 0.0}
"""Shares of the training inputs of data that come with a test split; these are mostly many."""

_SHAPE = Check(
    "3 32 32",
    lambda v: isinstance(v, (tuple, list)) and len(v) in (1, 3) and all(is_whole(n) and n > 0 for n in v),
    int,
    "is, for colour images",
)
_SHARE = optional(Check("a share above 0 and below 1", lambda v: is_number(v) and 0 < v < 1, parse_share))
_PER_CHANNEL = Check("a finite number", lambda v: is_number(v) and math.isfinite(v), float)


@dataclass(frozen=True)
class DataSettings:
    """A data set and the shape of its inputs; ``ValueError`` for one that cannot be."""

    source: str = option(
        "digits",
        "name of a data set, or folder:PATH (images), npz:PATH (arrays) or tsv:PATH (sentences); docs/guides/data.md",
        Check("a name or a kind with a path", lambda v: isinstance(v, str)),
        name="data",
    )
    input_shape: tuple[int, ...] | None = option(
        None, "shape that images are resized to, such as 3 32 32", optional(_SHAPE), many=True
    )
    root: str = option(
        "data", "folder of the data sets that torchvision reads", Check("a path", lambda v: isinstance(v, str))
    )
    download: bool = option(False, "let torchvision download a data set that is not in root", boolean())
    validation_share: float | None = option(
        None,
        "share of the inputs that the search judges networks by (0.15; 0.05 beside a test split of its own)",
        _SHARE,
    )
    calibration_share: float | None = option(
        None, "share of the inputs that cutoffs are fitted to (0.1; 0.05 beside a test split of its own)", _SHARE
    )
    test_share: float | None = option(
        None, "share of the inputs that judge in the end (0.2; not beside a test split of its own)", _SHARE
    )
    mean: tuple[float, ...] | None = option(
        None,
        "mean per channel to normalise images with; that of the training split, or of the weights of the space",
        optional(list_of(_PER_CHANNEL, "numbers, one per channel,")),
        many=True,
    )
    std: tuple[float, ...] | None = option(
        None,
        "standard deviation per channel, as mean",
        optional(list_of(positive(parse=float), "positive numbers, one per channel,")),
        many=True,
    )
    skip_unreadable: bool = option(False, "leave out images that cannot be read, in place of ending", boolean())
    cache_limit: float = option(
        8e9,
        "most bytes of decoded images that are kept in the cache; larger sets are decoded as they are needed",
        positive("bytes"),
    )
    workers: int | None = option(
        None,
        "processes that decode images where the cache would be too large (as many as threads)",
        optional(whole_number(1, 256)),
    )
    most_inputs: int | None = option(
        None, "most inputs of each split, as many of each class as can be; to try things out", optional(whole_number(8))
    )
    tokens: int = option(64, "token ids of a sentence, longer ones are cut", whole_number(1, 65536))
    vocabulary: int = option(
        8192, "different token ids of sentences, padding and unknown words included", whole_number(3)
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.input_shape is not None:  # a list compares unequal to the shapes of inputs
            object.__setattr__(self, "input_shape", tuple(self.input_shape))
        registry.parse(self.source)
        if self.input_shape is not None and math.prod(self.input_shape) > MAX_INPUT:
            raise ValueError(
                f"input_shape: {list(self.input_shape)} is not possible; at most {MAX_INPUT:,} numbers an input are"
            )
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean: it needs std beside it, and std needs mean")
        if sum(self.given_shares().values()) >= 1:
            raise self._nothing_left()

    def check_there(self) -> None:
        """``FileNotFoundError`` or ``ValueError`` unless the data can be read where they are said to be.

        Settings that were stored can be of data that are elsewhere by now.
        """
        source = registry.parse(self.source)
        source.module.check(self, source.path)

    def shares(self, official: Collection[str]) -> dict[str, float]:
        """The share of each split among the inputs that are not in an ``official`` one."""
        usual = SPLIT if "test" in official else UNSPLIT
        shares = {**usual, **self.given_shares(), **dict.fromkeys(official, 0.0)}
        left = round(1 - sum(shares.values()), 12)
        if left <= 0:
            raise self._nothing_left()
        return {"train": left, **shares}

    def given_shares(self) -> dict[str, float]:
        """The shares that are given, by the names of the splits."""
        shares = {name: getattr(self, f"{name}_share") for name in UNSPLIT}
        return {name: share for name, share in shares.items() if share is not None}

    def _nothing_left(self) -> ValueError:
        (name, share), *_ = self.given_shares().items()
        return ValueError(f"{name}_share: {share} leaves nothing to train with beside the other shares")

    def for_shape(self, input_shape: tuple[int, ...]) -> DataSettings:
        """The same for a network that takes inputs of ``input_shape``, where image files can be made so."""
        if self.input_shape is None and registry.parse(self.source).module.RESIZES:
            return replace(self, input_shape=tuple(input_shape))
        return self

    @property
    def place(self) -> str | None:
        """The path where the data lie; ``None`` for data that come with a package."""
        source = registry.parse(self.source)
        return source.path or (self.root if source.module.files(self) else None)

    def with_whole_paths(self, base: Path | None = None) -> DataSettings:
        """The same with paths from ``/``, which mean the same files wherever they are read later; others are of ``base``."""
        if self.place is None:
            return self
        whole = str(Path(base or "", expanded(self.place)).resolve())
        path = registry.parse(self.source).path
        return replace(self, source=self.source.removesuffix(path) + whole) if path else replace(self, root=whole)
