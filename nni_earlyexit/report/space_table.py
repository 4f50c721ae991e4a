"""The ready-made spaces as text: the size of each, and the costs of its networks."""

from __future__ import annotations

from collections.abc import Iterator

from nni_earlyexit import search_spaces
from nni_earlyexit.utils.amounts import format_macs

HEADS = ("space", "input", "networks", "choices", "stages", "MACs", "parameters", "activations")
WIDTHS = (52, 12, 9, 8, 7, 18, 18, 18)


def rows() -> Iterator[str]:
    """One line per space, with the arguments that it is listed with, as soon as it is known.

    The costs are those of the cheapest and of the dearest network, all exits on the way included.
    """
    yield _line(HEADS)
    yield "-" * (sum(WIDTHS) + 2 * len(WIDTHS) - 2)
    for name in search_spaces.names():
        for arguments in search_spaces.find(name).examples:
            space = search_spaces.create(name, **arguments)
            ranges = []
            for cost in (space.exit_costs, space.exit_params, space.exit_activation_bytes):
                least, most = (space.extreme(cost, exit=-1, most=most)[1] for most in (False, True))
                ranges.append(f"{format_macs(least)} to {format_macs(most)}")
            yield _line(
                (
                    space.identity(),
                    "x".join(map(str, space.input_shape)),
                    f"{space.size():.1e}",
                    str(len(space.choices)),
                    str(len(space.network.stages)),
                    *ranges[:2],
                    f"{ranges[2]} B",
                )
            )


def _line(cells: tuple[str, ...]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()
