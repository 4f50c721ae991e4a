"""A bundle: the folder that a finished network is saved to, as far as plain data go.

======================== ==========================================================================================
``README.md``            the model card, for people and for the Hugging Face hub
``architecture.json``    space, sample, exits that were kept, their costs, the way from an image or a sentence to an input
``policy.json``          the policy, every other one along the trade-off, what they were fitted to and judged by
``model.safetensors``    the weights
``onnx/``                the segments of the network for onnxruntime, and the whole network in one file, if they were asked for
``manifest.json``        SHA-256 of each of these files; written last
======================== ==========================================================================================

Reading one executes nothing of it. Each file that is read is compared with its checksum first, so that a damaged one is
named and never used. (Checksums find damage. Who can write to the folder can also write the manifest anew.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from nni_earlyexit.thresholds.confidence import UnknownMeasure
from nni_earlyexit.thresholds.learned_confidence import LearnedConfidence
from nni_earlyexit.thresholds.operating_point import OperatingPoint
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.thresholds.policy_front import Front, TradeOff
from nni_earlyexit.utils.files import checksum, finite_or_none, read_json
from numpy.typing import NDArray

FORMAT = 2
CARD, ARCHITECTURE, POLICY, WEIGHTS, MANIFEST = (
    "README.md",
    "architecture.json",
    "policy.json",
    "model.safetensors",
    "manifest.json",
)
ALWAYS = (CARD, ARCHITECTURE, POLICY, WEIGHTS)
"""Files that every bundle has beside its manifest."""

FLOAT32, INT8 = "float32", "int8"
"""Numbers that an exported network computes with."""

Kept: TypeAlias = tuple[int, ...]
Models: TypeAlias = tuple[LearnedConfidence | None, ...]


class DamagedBundle(ValueError):
    """A folder that is no bundle, or holds something else than what was written there."""


@dataclass(frozen=True)
class PolicyFamily:
    """Every policy along a network's trade-off; they differ in cutoffs.

    Attributes
    ----------
    front
        The policies with accuracy, average MACs and shares on the data that they were fitted to, cheapest first.
    confidence, temperatures
        As in :class:`~nni_earlyexit.thresholds.policy.ExitPolicy`.
    models
        Models of the learned measure, by the exits that a policy keeps.
    last_accuracy
        Accuracy of the last exit for every input, on the same data.
    test_shares
        Share of the test inputs that leaves at each exit, under each policy (policies, exits).
    """

    front: Front
    confidence: str
    temperatures: tuple[float, ...] | None
    models: Mapping[Kept, Models]
    last_accuracy: float
    test_shares: NDArray[np.floating]

    def policy_of(self, point: TradeOff) -> ExitPolicy:
        """The policy of a point of the front."""
        kept = tuple(exit for exit, cutoff in enumerate(point.cutoffs) if cutoff < math.inf)
        return ExitPolicy(point.cutoffs, self.confidence, self.temperatures, self.models.get(kept))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "confidence": self.confidence,
            "temperatures": None if self.temperatures is None else list(self.temperatures),
            "accuracy": self.front.accuracy.tolist(),
            "avg_macs": self.front.avg_cost.tolist(),
            "cutoffs": [finite_or_none(cutoffs) for cutoffs in self.front.cutoffs.tolist()],
            "shares": self.front.shares.tolist(),
            "models": [
                {"kept": list(kept), "models": [None if model is None else model.to_dict() for model in models]}
                for kept, models in self.models.items()
            ],
            "last_accuracy": self.last_accuracy,
            "test_shares": self.test_shares.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PolicyFamily:
        """The inverse of :meth:`to_dict`."""
        cutoffs = np.array(
            [[math.inf if cutoff is None else cutoff for cutoff in row] for row in data["cutoffs"]], dtype=float
        )
        cutoffs[:, -1] = -math.inf
        return cls(
            Front(
                np.array(data["accuracy"], dtype=float),
                np.array(data["avg_macs"], dtype=float),
                cutoffs,
                np.array(data["shares"], dtype=float),
            ),
            str(data["confidence"]),
            None if data["temperatures"] is None else tuple(map(float, data["temperatures"])),
            {
                tuple(entry["kept"]): tuple(
                    None if model is None else LearnedConfidence.from_dict(model) for model in entry["models"]
                )
                for entry in data["models"]
            },
            float(data["last_accuracy"]),
            np.array(data["test_shares"], dtype=float),
        )


@dataclass(frozen=True)
class Fitted:
    """The policies of a network that computes with some kind of numbers, and how it was judged.

    Attributes
    ----------
    policy
        The policy that was chosen.
    family
        Every policy along the trade-off.
    fitted_to
        What cutoffs were fitted to: data set, split, number of inputs, seed.
    test
        Judgement by test data: accuracy, its interval, average MACs, share of inputs and accuracy of each exit.
    guarantee
        The :class:`~nni_earlyexit.thresholds.guarantee.Guarantee` that every policy keeps, and the inputs of its test, as plain
        data; ``None`` where none was asked for.
    """

    policy: ExitPolicy
    family: PolicyFamily
    fitted_to: Mapping[str, Any]
    test: Mapping[str, Any]
    guarantee: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "policy": self.policy.to_dict(),
            "fitted_to": dict(self.fitted_to),
            "test": dict(self.test),
            "guarantee": None if self.guarantee is None else dict(self.guarantee),
            "family": self.family.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fitted:
        """The inverse of :meth:`to_dict`."""
        return cls(
            ExitPolicy.from_dict(data["policy"]),
            PolicyFamily.from_dict(data["family"]),
            dict(data["fitted_to"]),
            dict(data["test"]),
            None if data["guarantee"] is None else dict(data["guarantee"]),
        )


@dataclass(frozen=True)
class Architecture:
    """The network of a bundle, as plain data.

    Attributes
    ----------
    space, sample, kept
        The identity of the search space, the sample, and the exits of that network that are left, the last one included.
    description
        The network in one line.
    input_shape, num_classes, class_names
        Shape of one input, number of classes, their names (or numbers).
    preprocessing
        The way from an image or a sentence to an input, as plain data.
    exit_costs, branch_costs
        MACs to leave at each exit when all are run, and those of each branch alone.
    params
        Number of parameters.
    """

    space: str
    sample: Mapping[str, Any]
    kept: Kept
    description: str
    input_shape: tuple[int, ...]
    num_classes: int
    class_names: tuple[str, ...]
    preprocessing: Mapping[str, Any]
    exit_costs: tuple[int, ...]
    branch_costs: tuple[int, ...]
    params: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """The inverse of ``dataclasses.asdict``."""
        return cls(
            space=str(data["space"]),
            sample=dict(data["sample"]),
            kept=tuple(map(int, data["kept"])),
            description=str(data["description"]),
            input_shape=tuple(map(int, data["input_shape"])),
            num_classes=int(data["num_classes"]),
            class_names=tuple(map(str, data["class_names"])),
            preprocessing=dict(data["preprocessing"]),
            exit_costs=tuple(map(int, data["exit_costs"])),
            branch_costs=tuple(map(int, data["branch_costs"])),
            params=int(data["params"]),
        )

    @property
    def static_macs(self) -> int:
        """MACs of the network without early exits: the last exit's, without the other branches."""
        return self.exit_costs[-1] - sum(self.branch_costs[:-1])

    @property
    def tokens(self) -> bool:
        """``True`` if the network takes token ids."""
        return len(self.input_shape) == 1 and self.preprocessing["mean"] is None


@dataclass(frozen=True)
class Bundle:
    """The plain data of a bundle.

    Attributes
    ----------
    folder
        Its folder.
    architecture
        Its network.
    fits
        Its policies by the numbers that it computes with: :data:`FLOAT32`, and :data:`INT8` where it was quantised too.
    checksums
        SHA-256 of each file.
    """

    folder: Path
    architecture: Architecture
    fits: Mapping[str, Fitted]
    checksums: Mapping[str, str]

    @classmethod
    def load(cls, folder: str | Path) -> Bundle:
        """The bundle in ``folder``.

        Raises ``FileNotFoundError`` where there is none, :class:`DamagedBundle` where one is not what was written, and
        ``ValueError`` where its confidence measure is of somebody's own and not registered.
        """
        place = Path(folder)
        if not (place / MANIFEST).is_file():
            raise FileNotFoundError(f"bundle: there is none in {str(folder)!r}, which would have a {MANIFEST}")
        checksums = checksums_of(place)
        architecture, fits = (_read(place, name, checksums) for name in (ARCHITECTURE, POLICY))
        try:
            bundle = cls(
                place,
                Architecture.from_dict(architecture),
                {str(numbers): Fitted.from_dict(fitted) for numbers, fitted in fits.items()},
                checksums,
            )
            _check_fits(bundle)
        except UnknownMeasure as error:
            raise ValueError(
                f"bundle: the confidence measure {error.name!r} has to be registered first "
                "(nni_earlyexit.thresholds.confidence.register)"
            ) from None
        except KeyError as error:
            raise DamagedBundle(f"bundle: {str(folder)!r} is damaged: it lacks {error}") from None
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise DamagedBundle(f"bundle: {str(folder)!r} is damaged: {' '.join(str(error).split())[:300]}") from None
        return bundle

    def file(self, name: str) -> Path:
        """The bundle's file ``name``.

        Raises ``FileNotFoundError`` for one that it does not have, and :class:`DamagedBundle` for one that was changed.
        """
        if name not in self.checksums:
            raise FileNotFoundError(f"bundle: {str(self.folder)!r} has no {name}")
        return _checked(self.folder, name, self.checksums)

    def fit(self, numbers: str = FLOAT32) -> Fitted:
        """The policies for a network that computes with these ``numbers``; ``ValueError`` where it was not exported so."""
        if numbers not in self.fits:
            raise ValueError(
                f"numbers: {str(self.folder)!r} was not exported with {numbers!r}; it has {', '.join(self.fits)}"
            )
        return self.fits[numbers]

    @property
    def policy(self) -> ExitPolicy:
        """The policy that was chosen."""
        return self.fit().policy

    def point_at(self, *, numbers: str = FLOAT32, **goal: Any) -> TradeOff:
        """The point of the trade-off that a goal picks, such as ``max_cost=2.5e6`` (MACs) or ``min_accuracy=0.9``.

        Goals are those of :class:`~nni_earlyexit.thresholds.operating_point.OperatingPoint`, whose errors it raises too.
        """
        family = self.fit(numbers).family
        return OperatingPoint(**goal).pick(family.front, family.last_accuracy, float(self.architecture.exit_costs[-1]))

    def policy_at(self, *, numbers: str = FLOAT32, **goal: Any) -> ExitPolicy:
        """The policy of :meth:`point_at`."""
        return self.fit(numbers).family.policy_of(self.point_at(numbers=numbers, **goal))

    def costs_under(self, policy: ExitPolicy) -> list[float]:
        """MACs to leave at each exit when those that ``policy`` drops are not run."""
        own = self.architecture
        if len(policy.cutoffs) != len(own.exit_costs):
            raise ValueError(
                f"policy: it has {len(policy.cutoffs)} cutoffs, this network has {len(own.exit_costs)} exits"
            )
        return policy.costs_without_dropped(own.exit_costs, own.branch_costs)


def manifest_of(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """The manifest of the files ``names`` in ``folder``, as plain data."""
    return {"format": FORMAT, "files": {name: checksum(folder / name) for name in names}}


def _check_fits(bundle: Bundle) -> None:
    """``ValueError`` unless the parts of ``bundle`` belong together."""
    own = bundle.architecture
    exits = len(own.kept)
    bundle.fit()  # it is there
    lengths = {"exit_costs": len(own.exit_costs), "branch_costs": len(own.branch_costs)}
    for numbers, fitted in bundle.fits.items():
        lengths[f"cutoffs of {numbers}"] = len(fitted.policy.cutoffs)
        lengths[f"front of {numbers}"] = fitted.family.front.cutoffs.shape[1]
        front = fitted.family.front
        for name, values in (("shares", front.shares), ("test_shares", fitted.family.test_shares)):
            if values.shape != front.cutoffs.shape:
                raise ValueError(f"{name} of {numbers}: they do not fit the front")
        if not front.accuracy.shape == front.avg_cost.shape == front.cutoffs.shape[:1]:
            raise ValueError(f"front of {numbers}: its accuracies and costs do not fit its cutoffs")
        for shares in (fitted.family.test_shares, np.array(fitted.test["shares"], dtype=float)):
            if not (shares >= 0).all() or not np.allclose(shares.sum(axis=-1), 1):
                raise ValueError(f"shares of {numbers}: they are no shares")
        if len(fitted.test["shares"]) != exits or not fitted.test["inputs"] >= 1:
            raise ValueError(f"test of {numbers}: its shares do not fit {exits} exits")
    for name, length in lengths.items():
        if length != exits:
            raise ValueError(f"{name}: {length} do not fit {exits} exits")
    if tuple(own.preprocessing["input_shape"]) != own.input_shape:
        raise ValueError(f"input_shape: that of the preprocessing, {own.preprocessing['input_shape']}, is another one")
    for name in ("mean", "std"):
        numbers = own.preprocessing[name]
        if numbers is not None and (len(numbers) != own.input_shape[0] or not np.isfinite(numbers).all()):
            raise ValueError(f"{name}: {numbers} is not one number per channel")
    if own.class_names and len(own.class_names) != own.num_classes:
        raise ValueError(f"class_names: {len(own.class_names)} do not fit {own.num_classes} classes")


def checksums_of(folder: Path) -> dict[str, str]:
    """The checksums that the manifest in ``folder`` has, by the names of the files; :class:`DamagedBundle` for another one."""
    try:
        manifest = read_json(folder / MANIFEST, "bundle")
        if manifest["format"] != FORMAT:
            raise DamagedBundle(
                f"bundle: {str(folder)!r} has format {manifest['format']!r}; this version reads {FORMAT}"
            )
        checksums = {str(name): str(digest) for name, digest in manifest["files"].items()}
    except (LookupError, TypeError, AttributeError):
        raise DamagedBundle(f"bundle: {str(folder / MANIFEST)!r} is no manifest") from None
    except DamagedBundle:
        raise
    except ValueError as error:
        raise DamagedBundle(str(error)) from None
    if odd := [name for name in checksums if Path(name).is_absolute() or ".." in Path(name).parts]:
        raise DamagedBundle(f"bundle: {str(folder / MANIFEST)!r} names {odd[0]!r}, which is not in the bundle")
    if missing := [name for name in ALWAYS if name not in checksums]:
        raise DamagedBundle(f"bundle: {str(folder / MANIFEST)!r} lacks {missing[0]}")
    return checksums


def _checked(folder: Path, name: str, checksums: Mapping[str, str]) -> Path:
    path = folder / name
    try:
        whole = checksum(path) == checksums[name]
    except OSError as error:
        raise DamagedBundle(f"bundle: {str(path)!r} cannot be read: {error.strerror}") from None
    if not whole:
        raise DamagedBundle(f"bundle: {str(path)!r} is damaged; its checksum is another one than in {MANIFEST}")
    return path


def _read(folder: Path, name: str, checksums: Mapping[str, str]) -> Mapping[str, Any]:
    content = read_json(_checked(folder, name, checksums), "bundle")
    if not isinstance(content, Mapping):
        raise DamagedBundle(f"bundle: {str(folder / name)!r} holds no object")
    return content
