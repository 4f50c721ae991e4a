"""An early-exit network: a stem, stages, and an exit branch after some of the stages.

It knows no search and no NNI: this is what a search ends in and what is deployed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from nni_earlyexit.nn import counting
from nni_earlyexit.nn.inference import example, inference
from nni_earlyexit.nn.preprocessing import Inputs, Preprocessing
from nni_earlyexit.thresholds.policy import ExitPolicy
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.tables import as_html
from torch import Tensor, nn


class Answers(NamedTuple):
    """The answers of a network to a batch.

    Attributes
    ----------
    logits
        Logits (batch, classes) of the exit that each input left at.
    exits
        The exit that each input left at (batch,).
    """

    logits: Tensor
    exits: Tensor

    @property
    def classes(self) -> Tensor:
        """The class of each input (batch,)."""
        return self.logits.argmax(dim=1)

    @property
    def probabilities(self) -> Tensor:
        """The probability of each class (batch, classes), as the exit says it."""
        return self.logits.softmax(dim=1)


class EarlyExitNetwork(nn.Module):
    """Stages with exits between them.

    Parameters
    ----------
    stem
        The layers before the first stage.
    stages
        Runs of blocks, first to last.
    exits
        One per stage: the branch attached after it, mapping the stage's output to (batch, classes), or ``None`` where
        there is no exit. The last one is the backbone's own classifier and is always there.
    input_shape
        Shape of one input, without the batch.
    num_classes
        Number of classes.
    space, sample
        The search space (name and version) and the point of it that this network is, if it came from one.
    mean, std
        What the network's weights want images, scaled to 0..1, to be normalised with: one number per channel; ``None`` where
        the weights are new and any normalisation will do.

    Attributes
    ----------
    preprocessing
        The way from images or sentences to inputs of this network, once it was trained.
    policy
        The policy that was fitted to it, once it was.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        exits: Sequence[nn.Module | None],
        *,
        input_shape: Sequence[int],
        num_classes: int,
        space: str | None = None,
        sample: Mapping[str, Any] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not stages or len(exits) != len(stages):
            raise ValueError(
                f"exits: one per stage is needed (None where there is none), got {len(exits)} for {len(stages)}"
            )
        if exits[-1] is None:
            raise ValueError("exits: the last one is the backbone's own classifier and cannot be None")
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        # keyed by stage, so that a branch keeps the names of its weights whichever other exits are present
        self.exits = nn.ModuleDict({str(stage): branch for stage, branch in enumerate(exits) if branch is not None})
        self.input_shape = tuple(input_shape)
        self.num_classes = num_classes
        self.space = space
        self.sample = dict(sample) if sample is not None else None
        self.mean = None if mean is None else tuple(mean)
        self.std = None if std is None else tuple(std)
        self.preprocessing: Preprocessing | None = None
        self.policy: ExitPolicy | None = None

    @classmethod
    def load(cls, folder: str | Path) -> EarlyExitNetwork:
        """The trained network of a finished trial, ready to :meth:`predict`, from the trial's ``folder``.

        Nothing in the folder is executed or unpickled. ``FileNotFoundError`` where no finished trial is, ``ValueError`` for one
        that is damaged or whose space may not be imported (see :func:`nni_earlyexit.search_spaces.allow`).
        """
        # the way back from a trial's files, which say how its network is built
        from nni_earlyexit.evaluation import record

        return record.load_network(Path(folder))

    def __repr__(self) -> str:
        return f"{self._title()}; layers in .stem, .stages and .exits"

    def _repr_html_(self) -> str:
        branches = [sum(parameter.numel() for parameter in branch.parameters()) for branch in self.exits.values()]
        heads, columns = (
            ["exit", "after stage", "parameters of its branch"],
            [
                [str(exit) for exit in range(len(self.exits))],
                [str(stage) for stage in self.exit_stages],
                [f"{count:,}" for count in branches],
            ],
        )
        if not any(parameter.is_meta for parameter in self.parameters()):
            heads.append("MACs to leave")
            columns.append([format_macs(cost) for cost in self.exit_costs])
        return as_html(heads, list(zip(*columns, strict=True)), self._title())

    def _title(self) -> str:
        """The network in one line; nothing of it is run."""
        where = ", ".join(map(str, self.exit_stages))
        shape = " x ".join(map(str, self.input_shape))
        parameters = sum(parameter.numel() for parameter in self.parameters())
        policy = "" if self.policy is None else f"; {self.policy!r}"
        return (
            f"EarlyExitNetwork{'' if self.space is None else f' of {self.space}'}: {shape} to {self.num_classes} classes, "
            f"{len(self.stages)} stages, exits after {where}, {parameters:,} parameters{policy}"
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; their numbers where they have no names."""
        names = self.preprocessing.class_names if self.preprocessing is not None else ()
        return names or tuple(map(str, range(self.num_classes)))

    @property
    def exit_stages(self) -> tuple[int, ...]:
        """The stage that each exit comes after, first exit first."""
        return tuple(int(stage) for stage in self.exits)

    def _exit_after(self, stage: int) -> nn.Module | None:
        return self.exits[str(stage)] if str(stage) in self.exits else None  # noqa: SIM401  # ModuleDict lacks get()

    def outputs(self, x: Tensor) -> Iterator[Tensor | None]:
        """Logits of each exit in turn; what comes after an exit is computed only when the next one is asked for.

        ``None`` stands for an exit of a supernet that was not sampled.
        """
        x = self.stem(x)
        for stage, blocks in enumerate(self.stages):
            x = blocks(x)
            branch = self._exit_after(stage)
            if branch is not None:
                yield branch(x)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits of every exit, first exit first, each (batch, classes)."""
        # in a supernet of NNI's, the branch of an exit that was not sampled gives None
        return [logits for logits in self.outputs(x) if logits is not None]

    def predict(self, images: Inputs, policy: ExitPolicy | None = None) -> Answers:
        """Answer ``images`` under a policy: an input that has left costs nothing afterwards, nor does a dropped exit.

        Parameters
        ----------
        images
            Of a network that was trained: images (uint8 or float, numpy or torch, one or a batch) or sentences, as
            :meth:`Preprocessing.inputs` takes them. Of any other network, a batch of its inputs.
        policy
            The policy that decides where an input leaves; by default the one that was fitted to the network.

        Returns
        -------
        Answers
            They are those of running all exits and applying the policy afterwards, up to the rounding of a smaller batch.
        """
        policy = policy or self.policy
        if policy is None:
            raise ValueError(
                "policy: this network has none; give one, such as that of ThresholdOptimizer.fit(...).policy_"
            )
        self._check_fits(policy)
        if self.preprocessing is not None:
            x = self.preprocessing.inputs(images).to(next(self.parameters()).device)
        elif isinstance(images, Tensor):
            x = images
        else:
            raise ValueError("images: this network was not trained here, so it takes tensors of its inputs only")
        with inference(self):
            logits = x.new_empty((len(x), self.num_classes), dtype=torch.float32)
            exits = torch.empty(len(x), dtype=torch.long, device=x.device)
            remaining = torch.arange(len(x), device=x.device)
            x = self.stem(x)
            kept = {self.exit_stages[exit]: exit for exit in policy.kept}
            so_far = torch.empty((len(x), 0, self.num_classes), device=x.device)  # logits of the kept exits
            for stage, blocks in enumerate(self.stages):
                if len(remaining) == 0:
                    break
                x = blocks(x)
                if stage not in kept:
                    continue
                so_far = torch.cat([so_far, self.exits[str(stage)](x).float()[:, None]], dim=1)
                leaves = torch.from_numpy(policy.leaves(so_far.cpu().numpy(), kept[stage])).to(x.device)
                logits[remaining[leaves]] = so_far[leaves, -1]
                exits[remaining[leaves]] = kept[stage]
                remaining, x, so_far = remaining[~leaves], x[~leaves], so_far[~leaves]
        return Answers(logits, exits)

    def truncate(self, k: int) -> EarlyExitNetwork:
        """The network that ends at exit ``k`` (0-based), all earlier exits kept; it shares its weights with this one."""
        if not 0 <= k < len(self.exits):
            raise IndexError(f"k: exit {k} does not exist; this network has exits 0 to {len(self.exits) - 1}")
        return self.keep(range(k + 1))

    def prune(self, policy: ExitPolicy) -> EarlyExitNetwork:
        """The network without the exits that ``policy`` drops; it shares its weights with this one.

        Under ``policy.pruned()`` it gives the answers that this one gives under ``policy``.
        """
        self._check_fits(policy)
        return self.keep(policy.kept)

    def keep(self, kept: Sequence[int]) -> EarlyExitNetwork:
        """The network that ends at the last of the ``kept`` exits and has no others; it shares its weights with this one."""
        stages = [self.exit_stages[exit] for exit in kept]
        part = EarlyExitNetwork(
            self.stem,
            list(self.stages)[: stages[-1] + 1],
            [self._exit_after(stage) if stage in stages else None for stage in range(stages[-1] + 1)],
            input_shape=self.input_shape,
            num_classes=self.num_classes,
            mean=self.mean,
            std=self.std,
        )
        part.preprocessing = self.preprocessing
        # the flag alone: what it is made of is this network's, and comes back to this mode after a look at the part
        part.training = self.training
        return part

    def _check_fits(self, policy: ExitPolicy) -> None:
        if len(policy.cutoffs) != len(self.exits):
            raise ValueError(f"policy: it has {len(policy.cutoffs)} cutoffs, this network has {len(self.exits)} exits")

    @cached_property
    def _macs(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """MACs of the backbone up to each exit, and of each exit branch, counted by torch while one input runs."""
        branches = [self._exit_after(stage) for stage in range(len(self.stages))]
        with inference(self):
            return counting.macs(self.stem, list(self.stages), branches, self._example())

    @property
    def exit_costs(self) -> list[int]:
        """MACs to leave at each exit for one input: the backbone so far and every exit branch on the way."""
        backbone, branches = self._macs
        return [cost + sum(branches[: exit + 1]) for exit, cost in enumerate(backbone)]

    @property
    def exit_params(self) -> list[int]:
        """Parameters of what runs until each exit."""
        return [sum(parameter.numel() for parameter in self.truncate(k).parameters()) for k in range(len(self.exits))]

    @cached_property
    def exit_activation_bytes(self) -> list[int]:
        """The most bytes of tensors alive at once until each exit, for one input, which is not counted (float32)."""
        x = self._example()
        return [counting.activation_bytes(self.truncate(k), x) for k in range(len(self.exits))]

    def _example(self) -> Tensor:
        return example(self.input_shape, device=next(self.parameters()).device)

    @property
    def branch_costs(self) -> list[int]:
        """MACs of each exit branch alone: what later inputs save when that exit is dropped."""
        return list(self._macs[1])


def without_exits(
    model: nn.Module, input_shape: Sequence[int], num_classes: int, sample: Mapping[str, Any] | None = None
) -> EarlyExitNetwork:
    """Any classifier as an early-exit network with the last exit only."""
    return EarlyExitNetwork(
        nn.Identity(),
        [model],
        [nn.Identity()],
        input_shape=input_shape,
        num_classes=num_classes,
        space=type(model).__name__,
        sample=sample,
    )
