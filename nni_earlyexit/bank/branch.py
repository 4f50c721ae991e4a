"""A branch of a space whose backbone is kept: the stage that it follows, and what was chosen for it."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nni.nas.nn.pytorch import LayerChoice
from nni_earlyexit.nn.fixed_stage import FixedStage
from nni_earlyexit.nn.mutables import ABSENT, PRESENT, OptionalExit
from nni_earlyexit.search.domain import Domain, key
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.space.choice_tree import walk_choices
from nni_earlyexit.training.phases import learns
from torch import nn

LIBRARIES = ("torch", "torchvision", "timm", "nni", "nni_earlyexit")
"""Packages whose layers are what their name and their arguments say."""


class Branch(NamedTuple):
    """One exit branch.

    Attributes
    ----------
    stage
        The stage that it follows.
    choices
        The labels that make a difference, with their values, in the order of the space.
    """

    stage: int
    choices: tuple[tuple[str, Any], ...]

    @property
    def name(self) -> str:
        """A name for files: the stage, and a fingerprint of the choices."""
        return f"stage{self.stage}-{hashlib.sha256(key(dict(self.choices)).encode()).hexdigest()[:16]}"


class Branches:
    """The branches that a space can have.

    Raises ``ValueError`` for a space whose backbone is searched or learns, because what a branch is worth there depends on more
    than the branch, and for one whose classifier is new.
    """

    def __init__(self, space: EarlyExitSpace) -> None:
        backbone = (space.network.stem, *space.network.stages)
        if learns(space.network) and not any(isinstance(part, FixedStage) and part.frozen for part in backbone):
            raise ValueError(
                f"space: {space.identity()!r} trains its backbone, so no branch can be kept; with frozen=true, or with "
                "'trained folder=TRIAL', it stays as it is"
            )
        # the classifier of a model that is cut at modules that the user names is a part of the last stage
        with_classifier = (*backbone, list(space.network.exits.values())[-1])
        if any(parameter.requires_grad for part in with_classifier for parameter in part.parameters()):
            raise ValueError(
                f"space: the classifier of {space.identity()!r} is new and learns nothing in a bank; train it first with "
                f"'nni-earlyexit train \"{space.identity()} max_exits=0\"', then take the folder of that training"
            )
        _own_code(space.network.exits)  # as it is now, before its file may be edited
        self.space = space
        self._first = {label: values[0] for label, values in space.choices.items()}
        every = [int(stage) for stage in space.network.exits][:-1]
        self._presence = {
            stage: exit.presence.label
            for stage in every
            if isinstance(exit := space.network.exits[str(stage)], OptionalExit)
        }
        self._labels = {stage: self._of(space.network.exits[str(stage)]) for stage in every}
        self.stages = [stage for stage in every if space.violation(self._with(self._without_exits, stage, {})) is None]
        """The stages that an exit can follow by the rules of the space, the last one left out."""

    @staticmethod
    def _of(exit: Any) -> list[str]:
        branch = exit.branch if isinstance(exit, OptionalExit) else exit
        return [choice.label for choice, _ in walk_choices(branch, ())]

    @property
    def _without_exits(self) -> dict[str, Any]:
        return {**self._first, **dict.fromkeys(self._presence.values(), ABSENT)}

    def holds(self, branch: Branch) -> bool:
        """``True`` if the space can have ``branch``."""
        choices = dict(branch.choices)
        labels = self._labels.get(branch.stage, ())
        if branch.stage not in self.stages or not choices.keys() <= {*labels}:
            return False
        if any(value not in self.space.choices[label] for label, value in choices.items()):
            return False
        return self.branch(branch.stage, choices) == branch

    def present(self, sample: Mapping[str, Any]) -> list[Branch]:
        """The branches of the network that ``sample`` means, first exit first."""
        active = set(self.space.active(sample))
        return [
            Branch(stage, tuple((label, sample[label]) for label in self._labels[stage] if label in active))
            for stage in self._labels
            if sample.get(self._presence.get(stage, ""), PRESENT) == PRESENT
        ]

    def sample(self, branches: Sequence[Branch]) -> dict[str, Any]:
        """The sample of the network that has these ``branches``, in canonical form.

        ``ValueError`` for branches that cannot be together, and for choices that are not of the space.
        """
        sample = self._without_exits
        for branch in branches:
            sample = self._with(sample, branch.stage, dict(branch.choices))
        return self.space.canonical(sample)

    def violation(self, branches: Sequence[Branch]) -> str | None:
        """The rule of the space that a network of these ``branches`` breaks; ``None`` when it breaks none."""
        missing = sorted({*self._labels} - {*self._presence} - {branch.stage for branch in branches})
        if missing:
            return f"it has no exit after stage {missing[0]}"
        sample = self._without_exits
        for branch in branches:
            sample = self._with(sample, branch.stage, dict(branch.choices))
        return self.space.violation(sample)

    def domain(self, stage: int) -> Domain:
        """The branches after ``stage`` as a strategy explores them."""
        labels = self._labels[stage]

        def canonical(sample: Mapping[str, Any]) -> dict[str, Any]:
            active = dict(self.branch(stage, sample).choices)
            return {label: active.get(label, self._first[label]) for label in labels}

        return Domain(
            {label: self.space.choices[label] for label in labels},
            canonical=canonical,
            name=f"{self.space.identity()}, exits after stage {stage}",
        )

    def layers(self, branch: Branch) -> str:
        """SHA-256 of the layers that the names in ``branch`` stand for: a name can be registered for another block."""
        chosen = dict(branch.choices)
        digest = hashlib.sha256()
        for module in self.space.network.exits[str(branch.stage)].modules():
            if isinstance(module, LayerChoice) and module.choice.label in chosen:
                layer = module[chosen[module.choice.label]]
                shapes = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}
                built = re.sub(r" at 0x[0-9a-f]+", "", str(layer))  # of a function in it, another one in each process
                digest.update(f"{built} {shapes} {_own_code(layer)}".rstrip().encode())
        return digest.hexdigest()

    def branch(self, stage: int, sample: Mapping[str, Any]) -> Branch:
        """The branch after ``stage`` that a sample of :meth:`domain` means."""
        whole = self._with(self._first, stage, sample)
        return next(branch for branch in self.present(whole) if branch.stage == stage)

    def _with(self, sample: Mapping[str, Any], stage: int, choices: Mapping[str, Any]) -> dict[str, Any]:
        """``sample`` with these ``choices`` for the branch after ``stage``, which is there."""
        presence = {self._presence[stage]: PRESENT} if stage in self._presence else {}
        return {**sample, **presence, **choices}


def _own_code(layer: nn.Module) -> str:
    """The source of the classes in ``layer`` that are of no library, where there is one."""
    return "\n".join(sorted({_source(kind) for part in layer.modules() for kind in type(part).__mro__}))


@functools.cache
def _source(kind: type) -> str:
    """The source of a class as it is when it is first asked for, for its file may be edited while it is trained."""
    if kind.__module__.partition(".")[0] in (*LIBRARIES, *sys.stdlib_module_names):
        return ""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError, SyntaxError):  # typed into an interpreter, of another language, or half edited
        return ""
