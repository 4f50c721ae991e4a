"""Walks from sample to sample, one choice at a time, to one that may meet the limits and is new.

Where a space is small or its limits are tight, random proposals keep hitting what was proposed before or what is known to
miss a limit. A walk uses such a space up whole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from nni_earlyexit.search.domain import Domain, Sample, key

RESTARTS, LEVEL_STEPS = 20, 30
"""Times that a walk begins anew, and steps of it in a row that may lead nowhere."""


def neighbours(domain: Domain, sample: Sample, rng: np.random.Generator) -> list[Sample]:
    """Canonical samples that differ in one choice, in random order."""
    changed = [
        domain.canonical(other)
        for label, values in domain.choices.items()
        for value in values
        if value != sample[label] and domain.valid(other := {**sample, label: value})
    ]
    return [changed[i] for i in rng.permutation(len(changed))]


def nearest_new(
    domain: Domain, draw: Callable[[], Sample], is_new: Callable[[Sample], bool], rng: np.random.Generator
) -> Sample | None:
    """A canonical sample within the limits that ``is_new``; ``None`` when there is none.

    Downhill in excess from what ``draw`` gives, a valid sample, then breadth-first among what meets the limits; and again from
    other draws, for there may be no way between some that meet them.
    """
    seen: set[str] = set()
    for _ in range(RESTARTS):
        sample = downhill(domain, domain.canonical(draw()), rng)
        if key(sample) in seen:
            continue
        seen.add(key(sample))
        if (new := _nearest_new(domain, sample, seen, is_new, rng)) is not None:
            return new
    return None


def _nearest_new(
    domain: Domain, sample: Sample, seen: set[str], is_new: Callable[[Sample], bool], rng: np.random.Generator
) -> Sample | None:
    frontier = [sample]
    while frontier:
        following = []
        for candidate in frontier:
            if domain.excess(candidate) > 0:
                continue
            if is_new(candidate):
                return candidate
            for neighbour in neighbours(domain, candidate, rng):
                if key(neighbour) not in seen:
                    seen.add(key(neighbour))
                    following.append(neighbour)
        frontier = following
    return None


def downhill(domain: Domain, sample: Sample, rng: np.random.Generator) -> Sample:
    """A sample within the limits, or where no single change brings it nearer to them.

    Changes that bring it neither nearer nor farther are made too, a few in a row: of a cost that is a maximum, all parts
    that reach it have to change.
    """
    excess = domain.excess(sample)
    level = 0
    while excess > 0 and level < LEVEL_STEPS:
        around = neighbours(domain, sample, rng)
        if not around:
            break
        better = min(around, key=domain.excess)  # the first of equals, and their order is random
        changed = domain.excess(better)
        if changed > excess:
            break
        level = level + 1 if changed == excess else 0
        sample, excess = better, changed
    return sample
