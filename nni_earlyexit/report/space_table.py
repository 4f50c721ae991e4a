"""The ready-made spaces: their arguments, the size of each, and the costs of its networks.

Making every space takes half a minute, so what this package has of its own lies in ``spaces.json`` beside this file, written by
``nni-earlyexit spaces --fresh --json > nni_earlyexit/report/spaces.json``. Spaces that other packages offer are always made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_earlyexit import search_spaces
from nni_earlyexit.report.argument_table import argument_table
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.arguments import Argument, summary
from nni_earlyexit.utils.files import read_json
from nni_earlyexit.utils.tables import aligned

if TYPE_CHECKING:
    from nni_earlyexit.space.base import EarlyExitSpace

STORED = Path(__file__).with_name("spaces.json")
HEADS = ("space", "input", "networks", "choices", "stages", "MACs", "parameters", "activations")


@dataclass(frozen=True)
class Listing:
    """A space with the arguments of one of its examples.

    Attributes
    ----------
    space
        Its identity, such as ``mobilenetv3/1 halvings=5``.
    input_shape
        Shape of one input.
    networks
        Number of different networks.
    choices, stages
        Numbers of choices and of stages.
    macs, params, activation_bytes
        Those of the cheapest and of the dearest network, all exits on the way included; ``None`` where they are not the
        sums of its layers'.
    """

    space: str
    input_shape: tuple[int, ...]
    networks: int
    choices: int
    stages: int
    macs: tuple[int, int]
    params: tuple[int, int] | None
    activation_bytes: tuple[int, int] | None

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Listing:
        """The inverse of ``asdict``, by way of JSON, which has lists for tuples."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in row.items()
        }
        return cls(**values)

    def cells(self) -> list[str]:
        """The line of the table, by :data:`HEADS`."""
        macs, params, activations = (
            "" if ends is None else f"{format_macs(ends[0])} to {format_macs(ends[1])}{unit}"
            for ends, unit in ((self.macs, ""), (self.params, ""), (self.activation_bytes, " B"))
        )
        shape = "x".join(map(str, self.input_shape))
        counts = [f"{self.networks:.1e}", str(self.choices), str(self.stages)]
        return [self.space, shape, *counts, macs, params, activations]

    def values(self) -> dict[str, Any]:
        """The same numbers one by one, for a program."""
        row: dict[str, Any] = {"space": self.space, "input_shape": "x".join(map(str, self.input_shape))}
        row |= {"networks": self.networks, "choices": self.choices, "stages": self.stages}
        for name in ("macs", "params", "activation_bytes"):
            row[f"least_{name}"], row[f"most_{name}"] = getattr(self, name) or (None, None)
        return row


@dataclass(frozen=True)
class SpaceEntry:
    """A space in one line, its arguments, and a listing per example."""

    name: str
    summary: str
    arguments: tuple[Argument, ...]
    listings: tuple[Listing, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> SpaceEntry:
        """The inverse of :meth:`to_dict`."""
        return cls(
            name=content["name"],
            summary=content["summary"],
            arguments=tuple(Argument(**argument) for argument in content["arguments"]),
            listings=tuple(Listing.from_dict(row) for row in content["listings"]),
        )


def entries(names: Sequence[str] = (), fresh: bool = False) -> Iterator[SpaceEntry]:
    """The spaces called ``names``, or all, stored ones where they are there and not wanted ``fresh``.

    ``ValueError`` with the nearest names for an unknown one.
    """
    for name in names:
        search_spaces.check_name(name)
    stored = {} if fresh else {entry["name"]: entry for entry in read_json(STORED, "spaces")}
    for name in names or search_spaces.names():
        yield SpaceEntry.from_dict(stored[name]) if name in stored else made(name)


def made(name: str) -> SpaceEntry:
    """The space called ``name``, made with the arguments of each of its examples."""
    space_class = search_spaces.find(name)
    listings = []
    for arguments in space_class.examples:
        space = search_spaces.create(name, **arguments)
        macs = _ends(space, space.exit_costs)
        listings.append(
            Listing(
                space=space.identity(),
                input_shape=tuple(space.input_shape),
                networks=space.size(),
                choices=len(space.choices),
                stages=len(space.network.stages),
                macs=macs,
                params=_ends_if_known(space, space.exit_params),
                activation_bytes=_ends_if_known(space, space.exit_activation_bytes),
            )
        )
    return SpaceEntry(name, summary(space_class), tuple(space_class.described_arguments()), tuple(listings))


def _ends(space: EarlyExitSpace, cost: Callable[[Mapping[str, Any]], Sequence[float]]) -> tuple[int, int]:
    least, most = (int(space.extreme(cost, exit=-1, most=most)[1]) for most in (False, True))
    return least, most


def _ends_if_known(
    space: EarlyExitSpace, cost: Callable[[Mapping[str, Any]], Sequence[float]]
) -> tuple[int, int] | None:
    try:
        return _ends(space, cost)
    except TypeError:  # its choices change shapes, or its layers share parameters
        return None


def text(spaces: Sequence[SpaceEntry]) -> str:
    """Two tables: the spaces with their sizes and costs, and their arguments."""
    costs = aligned(HEADS, [listing.cells() for space in spaces for listing in space.listings])
    return f"{costs}\n\n{argument_table({space.name: space.arguments for space in spaces})}"
