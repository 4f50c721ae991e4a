"""A trial: a sample and its results."""

from __future__ import annotations

from dataclasses import dataclass

from nni_earlyexit.search.domain import Sample


@dataclass(frozen=True)
class Trial:
    """A sample with its results.

    Attributes
    ----------
    sample
        The sample in canonical form.
    losses
        The objectives of the point that it reported, smaller is better; ``None`` if it failed.
    points
        Losses of every point of its trade-off, the reported one included; empty if it failed.
    excess
        Amount by which it misses the limits; 0 when it keeps them.
    epochs
        Epochs that it was trained for, fewer than those of others if it was stopped early; 0 where that is not told.
    """

    sample: Sample
    losses: tuple[float, ...] | None
    points: tuple[tuple[float, ...], ...]
    excess: float
    epochs: int = 0

    @property
    def within(self) -> bool:
        """``True`` if it gave a result within the limits."""
        return self.losses is not None and self.excess <= 0
