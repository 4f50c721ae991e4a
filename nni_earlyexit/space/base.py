"""A space of early-exit networks: an NNI ``ModelSpace`` whose every point is an :class:`EarlyExitNetwork`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from nni.mutable import Categorical, Sample
from nni.nas.nn.pytorch import ModelSpace
from nni.nas.space import model_context
from nni_earlyexit.nn.mutables import ABSENT, PRESENT, OptionalExit
from nni_earlyexit.nn.network import EarlyExitNetwork
from nni_earlyexit.search.costs import ExitCosts
from nni_earlyexit.space import extremes, identity
from nni_earlyexit.space.choice_tree import Condition, count_networks, walk_choices
from nni_earlyexit.space.exit_form import ExitForm
from nni_earlyexit.space.exit_rules import ExitRules
from nni_earlyexit.space.extremes import Number
from nni_earlyexit.space.resolution import nearest
from nni_earlyexit.utils.arguments import Argument, arguments_of
from nni_earlyexit.utils.checks import boolean, check_number, is_whole, unknown
from torch import Tensor, nn

if TYPE_CHECKING:
    from nni_earlyexit.profiling.exit_presence import ExitPresence
    from nni_earlyexit.profiling.unit_costs import UnitCosts


class Parts(NamedTuple):
    """The pieces that a network is put together from.

    Attributes
    ----------
    stem
        The layers before the first stage.
    stages
        Runs of blocks, first to last.
    exits
        One per stage but the last: a function that builds the exit branch after it, called only if there is one, such as
        :func:`~nni_earlyexit.nn.mutables.exit_branch`, which takes ``depth``, ``layers`` and ``heads`` by name where the
        space is given them (:class:`ExitForm`). ``None`` where there can be none.
    head
        The backbone's own classifier, after the last stage.
    input_shape
        Shape of one input.
    num_classes
        Number of classes.
    mean, std
        What the weights that come with the parts want images, scaled to 0..1, to be normalised with: one number per channel.
        ``None`` where the weights are new.
    """

    stem: nn.Module
    stages: Sequence[nn.Module]
    exits: Sequence[Callable[..., nn.Module] | None]
    head: nn.Module
    input_shape: tuple[int, ...]
    num_classes: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


class EarlyExitSpace(ModelSpace, disable_init_wrapper=True):  # type: ignore[call-arg]
    """Base class of the search spaces.

    A subclass sets :attr:`name` and :attr:`version`, and returns stem, stages, exits and head from :meth:`parts`, with the
    choices of :mod:`nni_earlyexit.nn.mutables` (or any of NNI's) where something is to be searched. Every label stands for
    one choice. The arguments of :meth:`parts` are those of the space; every space also takes the exit
    rules and the exits' form.

    Frozen, by :meth:`freeze` as by NNI, it is a plain :class:`EarlyExitNetwork` that holds only what was chosen.

    Parameters
    ----------
    max_exits, first_exit, fixed_exits, banned_exits
        Rules for the exits that can be there; see :class:`ExitRules`.
    exit_depth, exit_layers, exit_heads
        The forms that an exit can have; see :class:`ExitForm`.
    **arguments
        Arguments of :meth:`parts`.

    Attributes
    ----------
    input_shape, num_classes
        Shape of one input and number of classes.
    mean, std
        Normalisation that given weights want; see :class:`Parts`.

    Raises
    ------
    ValueError
        For an argument that is unknown or cannot work.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised whenever a sample of an earlier version would mean another network."""
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    """Arguments that the space is listed and tested with."""

    @classmethod
    def parts(cls, *args: Any, **kwargs: Any) -> Parts:
        """The parts of the space, or of one network of it when NNI has set a sample."""
        raise NotImplementedError(f"{cls.__name__} must define parts()")

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.arguments = self._checked(arguments)
        self.rules, form, own = self._split(self.arguments)
        form.check()
        parts = self._formed(self.parts(**own), self.rules, form)
        form.check_layers(parts.stem, parts.stages, parts.exits, parts.input_shape)
        self.input_shape, self.num_classes = parts.input_shape, parts.num_classes
        self.mean, self.std = parts.mean, parts.std
        self.network = self._network(parts, self.rules)

    @classmethod
    def create_fixed_module(cls, sample: Sample, **arguments: Any) -> EarlyExitNetwork:
        """NNI's way to make one network: called instead of the constructor when a sample is set."""
        arguments = cls._checked(arguments)
        rules, form, own = cls._split(arguments)
        parts = cls._formed(cls.parts(**own), rules, form)
        return cls._network(parts, rules, space=identity.write(cls.name, cls.version, arguments), sample=sample)

    @staticmethod
    def _formed(parts: Parts, rules: ExitRules, form: ExitForm) -> Parts:
        """``parts`` with only the exits that ``rules`` admit, in this ``form``."""
        rules.check(len(parts.stages))
        return parts._replace(
            exits=[
                None if build is None or rules.bans(stage) else form.applied(build, stage)
                for stage, build in enumerate(parts.exits)
            ]
        )

    @staticmethod
    def _network(parts: Parts, rules: ExitRules, **origin: Any) -> EarlyExitNetwork:
        exits: list[nn.Module | None] = []
        for stage, build in enumerate(parts.exits):
            if build is None:
                exits.append(None)
            elif stage in rules.fixed_exits:
                exits.append(build())
            else:
                exits.append(OptionalExit(build, label=f"exit{stage}_present"))
        return EarlyExitNetwork(
            parts.stem,
            parts.stages,
            [*exits, parts.head],
            input_shape=parts.input_shape,
            num_classes=parts.num_classes,
            mean=parts.mean,
            std=parts.std,
            **origin,
        )

    @classmethod
    def _checked(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """``arguments`` without those that equal their default."""
        defaults = cls._argument_defaults()
        for name in arguments:
            if name not in defaults:
                raise unknown(f"space {cls.name}", name, list(defaults))
        missing = [name for name, default in defaults.items() if default is inspect.Parameter.empty]
        for name in missing:
            if name not in arguments:
                raise ValueError(f"space {cls.name}: {name} is missing")
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
        for name, value in given.items():
            if isinstance(defaults[name], bool):  # a word such as False would count as true
                boolean()(name, value)
        if given.get("num_classes") is not None:
            check_number("num_classes", given["num_classes"], 1)
        own = _defaults(cls.parts)
        for name in ("fixed_exits", "banned_exits", "exit_layers", "exit_heads"):  # written as one when there is one
            if name not in own and isinstance(given.get(name), (int, str)):
                given[name] = (given[name],)
        depth = given.get("exit_depth")
        if "exit_depth" not in own and isinstance(depth, tuple) and len(set(depth)) == 1 and len(depth) <= 2:
            given["exit_depth"] = depth[0]
        return {
            name: value
            for name, value in given.items()
            if value != defaults[name] or isinstance(value, bool) != isinstance(defaults[name], bool)
        }

    @classmethod
    def _argument_defaults(cls) -> dict[str, Any]:
        """Every argument of the space with its default; one that a space has itself is its own."""
        return {**ExitRules._field_defaults, **ExitForm._field_defaults, **_defaults(cls.parts)}

    @classmethod
    def _split(cls, arguments: Mapping[str, Any]) -> tuple[ExitRules, ExitForm, dict[str, Any]]:
        own = {name: value for name, value in arguments.items() if name in _defaults(cls.parts)}
        rules = {name: value for name, value in arguments.items() if name in ExitRules._fields and name not in own}
        form = {name: value for name, value in arguments.items() if name in ExitForm._fields and name not in own}
        return ExitRules(**rules), ExitForm(**form), own

    @classmethod
    def takes(cls, argument: str) -> bool:
        """``True`` if the space has this ``argument``, such as ``num_classes``."""
        return argument in cls._argument_defaults()

    @classmethod
    def described_arguments(cls) -> list[Argument]:
        """Every argument of the space with its default and its meaning, those of its own first."""
        own = arguments_of(cls.parts, cls)
        names = {argument.name for argument in own}
        of_exits = [*arguments_of(ExitRules, ExitRules), *arguments_of(ExitForm, ExitForm)]
        return [*own, *(argument for argument in of_exits if argument.name not in names)]

    @classmethod
    def check_resolution(cls, resolution: int, **arguments: Any) -> None:
        """``ValueError`` unless the space with these ``arguments`` takes images of so many pixels on a side.

        It makes the parts; a space that can tell without, overrides this.
        """
        _, _, own = cls._split(arguments)
        cls.parts(**{**own, "resolution": resolution})

    @classmethod
    def nearest_resolution(cls, pixels: int, **arguments: Any) -> int | None:
        """The resolution next to ``pixels`` that the space with these ``arguments`` can have; ``None`` if it has only one.

        Raises ``ValueError`` for arguments that cannot work, and when no resolution near is possible.
        """
        arguments = cls._checked(arguments)
        if not cls.takes("resolution"):
            return None
        arguments.pop("resolution", None)
        return nearest(pixels, lambda resolution: cls.check_resolution(resolution, **arguments))

    def freeze(self, sample: Sample) -> EarlyExitNetwork:
        """The network that ``sample`` means, with new weights.

        Raises ``ValueError`` when the sample does not belong to the space.
        """
        # what NNI's Proxyless exports has labels of its own, one per place of a Repeat
        sample = {label: value for label, value in sample.items() if "/in_repeat_" not in label}
        self.check(sample)
        with model_context(dict(sample)):
            return type(self)(**self.arguments)  # type: ignore[return-value]  # create_fixed_module

    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits of every exit, first exit first, each (batch, classes)."""
        return self.network(x)

    def identity(self) -> str:
        """Name, version and arguments in one line, as search space files carry it."""
        return identity.write(self.name, self.version, self.arguments)

    def own_identity(self, without: Collection[str] = ()) -> str:
        """Name, version and the arguments of its own, those of exits and those ``without`` left out."""
        _, _, own = self._split(self.arguments)
        kept = {name: value for name, value in own.items() if name not in without}
        return identity.write(self.name, self.version, kept)

    # --- the choices -------------------------------------------------------------------------------------------------

    @cached_property
    def _conditions(self) -> list[tuple[Categorical, tuple[Condition, ...]]]:
        """Each choice with what must hold for it to mean anything: (label, values) of the choices above it."""
        conditions = list(walk_choices(self.network, ()))
        labels = [choice.label for choice, _ in conditions]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(
                f"{type(self).__name__}: label {twice[0]!r} stands for two choices; every label must stand for one"
            )
        return conditions

    @cached_property
    def choices(self) -> dict[str, list[Any]]:
        """Every label with the values it can take, in the order of the network."""
        return {choice.label: list(choice.values) for choice, _ in self._conditions}

    def check(self, sample: Mapping[str, Any]) -> None:
        """``ValueError`` that names label and value unless ``sample`` is a point of this space, all labels present."""
        for label in self.choices:
            if label not in sample:
                raise ValueError(f"sample: {label!r} is missing; space {self.identity()} needs all of its labels")
        for label, value in sample.items():
            if label not in self.choices:
                raise ValueError(f"sample: {label!r} is not a label of space {self.identity()}")
            # True == 1 in Python, but not in a search space
            if not any(value == possible and type(value) is type(possible) for possible in self.choices[label]):
                raise ValueError(
                    f"sample: {label}={value!r} is not possible in space {self.identity()}; it can be "
                    f"{', '.join(map(repr, self.choices[label]))}"
                )
        violation = self.violation(sample)
        if violation is not None:
            raise ValueError(f"sample: {violation}, which space {self.identity()} does not allow")

    def violation(self, sample: Mapping[str, Any]) -> str | None:
        """A sentence on a combination of choices that are possible one by one but not together; ``None`` when all is well.

        A subclass with constraints of its own extends this.
        """
        if self.rules.max_exits is not None:
            present = len(self.rules.fixed_exits) + sum(sample[label] == PRESENT for label in self.optional_exits)
            if present > self.rules.max_exits:
                return f"it has {present} early exits, more than max_exits={self.rules.max_exits}"
        return None

    @cached_property
    def optional_exits(self) -> list[str]:
        """The labels that say whether an exit is there, of the exits that may be absent."""
        return [exit.presence.label for exit in self.network.exits.values() if isinstance(exit, OptionalExit)]

    def active(self, sample: Mapping[str, Any]) -> list[str]:
        """The labels of ``sample`` that make a difference, in the order of the network."""
        return [
            choice.label
            for choice, conditions in self._conditions
            if all(sample[label] in values for label, values in conditions)
        ]

    def canonical(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """The one form that all samples of the same network share: labels that make no difference get their first value.

        Raises ``ValueError`` when the sample does not belong to the space.
        """
        self.check(sample)
        active = set(self.active(sample))
        return {label: sample[label] if label in active else values[0] for label, values in self.choices.items()}

    def widened(self, sample: Mapping[str, Any], narrower: EarlyExitSpace) -> dict[str, Any]:
        """The sample of this space that means the network of ``sample`` in a ``narrower`` one, which limits exits further.

        Raises ``ValueError`` when that is none: a space with other arguments of its own, or exits that are not possible here.
        """
        if narrower.own_identity() != self.own_identity():
            raise ValueError(f"sample: space {narrower.identity()} is no part of space {self.identity()}")
        _, form, _ = narrower._split(narrower.arguments)
        given = narrower.canonical(sample)
        for label, values in self.choices.items():
            if label in given:
                continue
            exit, _, what = label.partition("_")
            if what == "present":
                given[label] = PRESENT if int(exit.removeprefix("exit")) in narrower.rules.fixed_exits else ABSENT
            else:
                given[label] = form.exit_depth if what == "depth" and is_whole(form.exit_depth) else values[0]
        wide = self.canonical(given)
        if list(self.exit_costs(wide)) != list(narrower.exit_costs(sample)):
            raise ValueError(
                f"sample: space {self.identity()} does not have this network of space {narrower.identity()}"
            )
        return wide

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """A random point, every choice drawn uniformly from those that are valid together, in canonical form."""
        for _ in range(10_000):
            drawn = {label: values[rng.integers(len(values))] for label, values in self.choices.items()}
            if self.violation(drawn) is None:
                return self.canonical(drawn)
        raise ValueError(f"space {self.identity()}: none of 10,000 random samples is valid")

    def size(self) -> int:
        """Number of distinct networks; constraints of a subclass are not considered."""
        _ = self._conditions  # no label twice: the count below relies on it
        # ways to have so many optional exits, by their number
        ways = [1]
        fixed = 1
        for exit in self.network.exits.values():
            if isinstance(exit, OptionalExit):
                ways = [a + b * count_networks(exit.branch) for a, b in zip([*ways, 0], [0, *ways], strict=True)]
            else:
                fixed *= count_networks(exit)
        if self.rules.max_exits is not None:
            ways = ways[: self.rules.max_exits - len(self.rules.fixed_exits) + 1]
        return (
            count_networks(self.network.stem) * math.prod(map(count_networks, self.network.stages)) * fixed * sum(ways)
        )

    def search_space(self) -> dict[str, dict[str, Any]]:
        """NNI's search space file for this space; its first entry says which space and version it belongs to."""
        entries = {"space": [self.identity()], **self.choices}
        return {label: {"_type": "choice", "_value": values} for label, values in entries.items()}

    def describe(self, sample: Mapping[str, Any]) -> str:
        """The architecture in one line: blocks of each stage, an exit's layers in brackets behind its stage."""
        active = set(self.active(sample))

        def chosen(prefix: str) -> str:
            return " ".join(
                str(sample[label])
                for label in self.choices
                if label in active and label.startswith(prefix) and not label.endswith(("_depth", "_present"))
            )

        parts = []
        present = self._exit_presence(sample)
        for stage in range(len(self.network.stages)):
            parts.append(chosen(f"stage{stage}_") or f"stage{stage}")  # one of a given backbone has no choices
            if present[stage] and stage < len(self.network.stages) - 1:  # behind the last is the classifier
                parts.append(f"[{chosen(f'exit{stage}_') or 'classifier'}]")
        return " | ".join(parts).replace("| [", "[")

    def extra_oneshot_hooks(self, strategy: Any) -> list[Callable[..., Any]]:
        """Hooks for NNI's one-shot strategies, which make an optional exit part of a supernet."""
        from nni_earlyexit.space.oneshot import hooks

        return hooks(strategy)

    # --- costs -------------------------------------------------------------------------------------------------------

    @cached_property
    def _macs(self) -> Callable[[Mapping[str, Any]], list[int]]:
        try:
            return self._unit_costs.macs
        except TypeError:  # a module of the user's with choices inside, or choices that change the resolution
            from nni_earlyexit.profiling.macs import SymbolicMacs

            return SymbolicMacs(self.network)

    @cached_property
    def _exit_presence(self) -> ExitPresence:
        from nni_earlyexit.profiling.exit_presence import ExitPresence

        return ExitPresence(self.network)

    @cached_property
    def _unit_costs(self) -> UnitCosts:
        from nni_earlyexit.profiling.unit_costs import UnitCosts

        return UnitCosts(self.network)

    @cached_property
    def _told(self) -> tuple[Callable[[Mapping[str, Any]], list[int]] | None, ...]:
        """Parameters and activation memory of a sample, each where it can be told without building the network."""
        costs: list[Callable[[Mapping[str, Any]], list[int]] | None] = []
        for name in ("params", "activation_bytes"):
            try:
                costs.append(getattr(self._unit_costs, name))
            except TypeError:
                costs.append(None)
        return tuple(costs)

    def exit_costs(self, sample: Mapping[str, Any]) -> list[int]:
        """MACs to leave at each present exit, as :attr:`EarlyExitNetwork.exit_costs`, without building the network."""
        return self._macs(sample)

    def exit_params(self, sample: Mapping[str, Any]) -> list[int]:
        """Parameters of what runs until each present exit, as :attr:`EarlyExitNetwork.exit_params`."""
        return self._unit_costs.params(sample)

    def exit_activation_bytes(self, sample: Mapping[str, Any]) -> list[int]:
        """Peak bytes until each present exit, as :attr:`EarlyExitNetwork.exit_activation_bytes`."""
        return self._unit_costs.activation_bytes(sample)

    def all_costs(self, sample: Mapping[str, Any]) -> ExitCosts:
        """Every cost that needs no measurement; ``None`` for one that the space's form does not let us tell beforehand."""
        params, activation_bytes = self._told
        return ExitCosts(
            self.exit_costs(sample),
            None if params is None else params(sample),
            None if activation_bytes is None else activation_bytes(sample),
            stages=[stage for stage, present in enumerate(self._exit_presence(sample)) if present],
        )

    def extreme(
        self, cost: Callable[[Mapping[str, Any]], Sequence[Number]], *, exit: int, most: bool = False
    ) -> tuple[dict[str, Any], Number]:
        """Find a sample with the least (or most) ``cost(sample)[exit]``, such as ``exit_costs``, and that cost.

        One choice at a time is changed until nothing gets better, from samples with every single exit and with
        none. It is exact where the cost of a part does not depend on choices in other parts.
        """
        return extremes.extreme(self, cost, exit=exit, most=most)

    def cheapest(self, *, exit: int) -> tuple[dict[str, Any], int]:
        """A sample with the least MACs to leave at ``exit`` (0: the first one, -1: the last one), and those MACs."""
        return self.extreme(self.exit_costs, exit=exit)


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of ``function`` with their defaults."""
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}
