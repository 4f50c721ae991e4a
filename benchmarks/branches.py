"""Whether deeper exit branches earn their MACs: every branch of some backbones, with the weights of a supernet.

    python benchmarks/branches.py SPACE --supernet FILE --data folder:PATH [--backbones 4] [--results FILE] [--picture FILE.png]

Backbones are random networks of the space. After each stage there is a branch of each depth, with each type of layer in all its
places; its accuracy is that on validation data, its MACs are those of the stages before it and its own, not those of earlier
exits. "Extra MACs" and "gain" are over a classifier after the same stage, with the best type of layer; "later classifier" is
what a classifier after the next stage gains for each extra million, which is what the same MACs buy without a branch. "On the
front" is the share of a depth among the branches that no other exit of the same backbone beats. A training of the whole network
is not repeated for each branch, so branches differ by less than they would alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kept_lines import kept
from nni_earlyexit import data as data_sets
from nni_earlyexit import search_spaces
from nni_earlyexit.data.splits import Data
from nni_earlyexit.nn.mutables import PRESENT
from nni_earlyexit.space.base import EarlyExitSpace
from nni_earlyexit.supernet.inheritance import take_weights
from nni_earlyexit.supernet.learning import accuracies
from nni_earlyexit.supernet.supernet import Supernet
from nni_earlyexit.utils.tables import aligned

Exit = Mapping[str, Any]


def forms(space: EarlyExitSpace) -> Iterator[tuple[int, str]]:
    """Depths and types of layer that a branch can have."""
    depths = {
        int(depth)
        for label, values in space.choices.items()
        if label.endswith("_depth") and label.startswith("exit")
        for depth in values
    }
    layers = dict.fromkeys(
        layer
        for label, values in space.choices.items()
        if label.startswith("exit") and "_layer" in label
        for layer in values
    )
    for depth in sorted(depths):
        yield from ((depth, layer) for layer in (layers if depth else ["none"]))


def with_branches(space: EarlyExitSpace, backbone: Mapping[str, Any], depth: int, layer: str) -> dict[str, Any]:
    """``backbone`` with a branch of this form after every stage that can have one."""
    own = dict(backbone)
    for label, values in space.choices.items():
        if label.startswith("exit"):
            part = label.partition("_")[2]
            wanted = {"present": PRESENT, "depth": depth}.get(part, layer if part.startswith("layer") else values[0])
            own[label] = wanted if wanted in values else values[0]
    return space.canonical(own)


def measured(
    space: EarlyExitSpace, supernet: Supernet, data: Data, backbone: Mapping[str, Any], depth: int, layer: str
) -> dict[str, Any]:
    """Accuracy and MACs of the exit after each stage, the last one included."""
    network = space.freeze(with_branches(space, backbone, depth, layer))
    take_weights(network, supernet.network, data)
    branches = network.branch_costs
    costs = [int(cost - sum(branches[:exit])) for exit, cost in enumerate(network.exit_costs)]
    return {
        "depth": depth,
        "layer": layer,
        "stages": list(network.exit_stages),
        "accuracy": accuracies(network, data),
        "macs": costs,
    }


def by_stage(lines: Sequence[Mapping[str, Any]]) -> list[Exit]:
    """One entry for each branch; the last exit, which has none, is left out."""
    return [
        {
            **{name: line[name] for name in ("backbone", "depth", "layer")},
            "stage": stage,
            "accuracy": accuracy,
            "macs": macs,
        }
        for line in lines
        for stage, accuracy, macs in list(zip(line["stages"], line["accuracy"], line["macs"], strict=True))[:-1]
    ]


def unbeaten(exits: Sequence[Exit]) -> list[Exit]:
    """The exits that no cheaper one is as accurate as."""
    front: list[Exit] = []
    for exit in sorted(exits, key=lambda exit: (exit["macs"], -exit["accuracy"])):
        if not front or exit["accuracy"] > front[-1]["accuracy"]:
            front.append(exit)
    return front


def table(exits: Sequence[Exit]) -> str:
    """Gain and MACs of each depth after each stage, the mean over the backbones."""
    backbones = sorted({exit["backbone"] for exit in exits})
    fronts = [exit for own in backbones for exit in unbeaten([e for e in exits if e["backbone"] == own])]
    stages, depths = (sorted({exit[name] for exit in exits}) for name in ("stage", "depth"))

    def best(backbone: int, stage: int, depth: int) -> Exit:
        own = [e for e in exits if (e["backbone"], e["stage"], e["depth"]) == (backbone, stage, depth)]
        return max(own, key=lambda exit: exit["accuracy"])

    lines = []
    for stage in stages:
        here = [exit for exit in fronts if exit["stage"] == stage]
        for depth in depths:
            pairs = [(best(own, stage, depth), best(own, stage, 0)) for own in backbones]
            extra = float(np.mean([exit["macs"] - classifier["macs"] for exit, classifier in pairs]))
            gain = float(np.mean([100 * (exit["accuracy"] - classifier["accuracy"]) for exit, classifier in pairs]))
            later = [(best(own, stage + 1, 0), best(own, stage, 0)) for own in backbones] if stage + 1 in stages else []
            rate = [100 * (b["accuracy"] - a["accuracy"]) / ((b["macs"] - a["macs"]) / 1e6) for b, a in later]
            lines.append(
                [
                    f"{stage}",
                    f"{depth}",
                    f"{np.mean([100 * exit['accuracy'] for exit, _ in pairs]):.2f}",
                    f"{extra / 1e6:.2f}" if depth else "",
                    f"{gain:.2f}" if depth else "",
                    f"{gain / (extra / 1e6):.2f}" if depth else "",
                    f"{np.mean(rate):.2f}" if rate and depth else "",
                    f"{sum(exit['depth'] == depth for exit in here) / len(here):.0%}" if here else "",
                ]
            )
    heads = [
        "after stage",
        "layers",
        "accuracy (%)",
        "extra MACs (M)",
        "gain (points)",
        "gain per M",
        "later classifier",
        "on the front",
    ]
    return aligned(heads, lines)


def draw(exits: Sequence[Exit], path: Path) -> None:
    """Accuracy by MACs of every branch of the first backbone."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    own = [exit for exit in exits if exit["backbone"] == 0]
    for depth in sorted({exit["depth"] for exit in own}):
        points = [(exit["macs"] / 1e6, 100 * exit["accuracy"]) for exit in own if exit["depth"] == depth]
        axes.scatter(*zip(*points, strict=True), label=f"{depth} layers", color=colormaps["viridis"](depth / 3.5), s=28)
    front = unbeaten(own)
    axes.step(
        [e["macs"] / 1e6 for e in front],
        [100 * e["accuracy"] for e in front],
        where="post",
        color="grey",
        lw=1,
        zorder=0,
    )
    axes.set(xlabel="MACs to leave there, without those of earlier exits (millions)", ylabel="validation accuracy (%)")
    axes.grid(alpha=0.3)
    axes.legend(title="branch before its head")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print the table, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", nargs="+", help="space and its arguments")
    parser.add_argument("--supernet", type=Path, help="its file; not needed where all results are there")
    parser.add_argument("--data", help="data that it has learned from")
    parser.add_argument("--backbones", type=int, default=4)
    parser.add_argument(
        "--results", type=Path, default=Path("branches.jsonl"), help="what is there is not measured again"
    )
    parser.add_argument("--picture", type=Path, help="PNG file to write")
    given = parser.parse_args()
    space = search_spaces.create(" ".join(given.space))
    rng = np.random.default_rng(0)
    backbones = [space.sample(rng) for _ in range(given.backbones)]
    loaded: list[Any] = []

    def measure(backbone: int, depth: int, layer: str) -> dict[str, Any]:
        if not loaded:
            supernet, _ = Supernet.load(given.supernet, space)
            data = data_sets.load(given.data, 0, tuple(space.input_shape)).for_network(space)
            loaded.extend([supernet, data])
        return measured(space, *loaded, backbones[backbone], depth, layer)

    lines = []
    for backbone in range(given.backbones):
        for depth, layer in forms(space):
            task = (backbone, depth, layer)
            key = [space.identity(), *task]
            lines.append({"backbone": backbone, **kept(given.results, key, lambda task=task: measure(*task))})
    print(table(by_stage(lines)))
    if given.picture:
        draw(by_stage(lines), given.picture)


if __name__ == "__main__":
    main()
