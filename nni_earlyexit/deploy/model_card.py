"""The model card of a bundle: for people, and for the Hugging Face hub, which reads the lines at its top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nni_earlyexit.runtime.bundle import CARD, FLOAT32, Architecture, Bundle, Fitted
from nni_earlyexit.runtime.onnx_predictor import NESTED, segment_file
from nni_earlyexit.thresholds.guarantee import ALL
from nni_earlyexit.utils.amounts import format_macs
from nni_earlyexit.utils.tables import aligned

PICTURE = "trade_off.png"
PICTURES = (PICTURE,)
"""Files beside the card that it shows."""


def write(folder: Path, architecture: Architecture, fits: Mapping[str, Fitted], files: Sequence[str]) -> None:
    """Write the card and its picture to ``folder``; ``files`` are those for onnxruntime that the bundle has."""
    _draw(fits, folder / PICTURE)
    (folder / CARD).write_text(text(architecture, fits, files), encoding="utf-8")


def text(architecture: Architecture, fits: Mapping[str, Fitted], files: Sequence[str] = ()) -> str:
    """The card in Markdown."""
    own = fits[FLOAT32]
    test, full = own.test, architecture.static_macs
    low, high = test["interval"]
    shown = ", ".join(architecture.class_names[:20]) + (", ..." if architecture.num_classes > 20 else "")
    parts = [
        "---",
        "library_name: nni-earlyexit",
        "tags: [early-exit, image-classification]" if len(architecture.input_shape) == 3 else "tags: [early-exit]",
        "---",
        "# A network with early exits",
        "",
        f"It answers easy inputs from an early classifier. On {own.fitted_to['data']}: **{test['accuracy']:.2%}** of the test "
        f"inputs right ({low:.2%} to {high:.2%}, the 95% interval) with **{format_macs(test['avg_macs'])}** average MACs; the "
        f"last exit alone takes {format_macs(full)} and gets {test['exit_accuracies'][-1]:.2%} right.",
        *_guessing(test),
        "",
        f"![Accuracy and average MACs of every policy]({PICTURE})",
        "",
        *_exits(architecture, own),
        "",
        f"- network: {architecture.space}: {architecture.description}",
        f"- input: {' x '.join(map(str, architecture.input_shape))}; {architecture.params:,} parameters",
        f"- {architecture.num_classes} classes: {shown}",
        f"- cutoffs fitted to {own.fitted_to['inputs']:,} inputs of the {own.fitted_to['split']} split, for "
        f"{own.fitted_to['goal']}",
        *_guarantee(own),
        "",
        "## Use",
        "",
        "```python",
        "from nni_earlyexit.deploy import EarlyExitPredictor",
        "",
        'predictor = EarlyExitPredictor.load("this folder")',
        "answers = predictor(images)  # uint8 or float from 0 to 1, one or a batch: classes, probabilities, exits, macs",
        f"predictor.policy = predictor.bundle.policy_at(max_cost={_budget(own):.0f})  # another budget, in MACs",
        "```",
    ]
    if segment_file(0) in files:
        parts += [
            "",
            "Without torch, on a device: the wheel that `python -m nni_earlyexit.runtime.distribution OUT` builds, then",
            "",
            "```python",
            "from nni_earlyexit.runtime import OnnxPredictor",
            "",
            'answers = OnnxPredictor.load("this folder")(images)',
            "```",
        ]
    if NESTED in files:
        parts += [
            "",
            f"`{NESTED}` is all of it in one file, for one input at a time, in any onnxruntime: `inputs` (float32 from 0 to 1,",
            "or int64 tokens) gives `logits` and `exit`.",
        ]
    for numbers, fitted in fits.items():
        if numbers != FLOAT32:
            parts += [
                "",
                f"With {numbers}: {fitted.test['accuracy']:.2%} at {format_macs(fitted.test['avg_macs'])} average MACs; its "
                "cutoffs were fitted again.",
            ]
    return "\n".join(parts) + "\n"


def summary(bundle: Bundle) -> str:
    """A bundle in a few lines, for a terminal."""
    own = bundle.architecture
    full = own.static_macs
    rows = [
        [
            numbers,
            f"{fitted.test['accuracy']:.2%} ({fitted.test['interval'][0]:.2%} to {fitted.test['interval'][1]:.2%})",
            format_macs(fitted.test["avg_macs"]),
            f"{fitted.test['avg_macs'] / full:.0%}",
            " ".join(f"{share:.0%}" for share in fitted.test["shares"]),
        ]
        for numbers, fitted in bundle.fits.items()
    ]
    heads = ["numbers", "test accuracy", "avg MACs", "of it without exits", "share of inputs per exit"]
    lines = [aligned(heads, rows)]
    if len(own.exit_costs) == 1:
        lines.append("every input leaves at the same exit: this is a small static network")
    lines.append(f"{bundle.folder}: EarlyExitPredictor.load({str(bundle.folder)!r})")
    return "\n".join(lines)


def _guarantee(fitted: Fitted) -> list[str]:
    """A line about the guarantee, if there is one."""
    own = fitted.guarantee
    if own is None:
        return []
    whom = "" if own["among"] == ALL else ", among the inputs that leave before it"
    return [
        f"- guarantee, with probability {own['confidence']:g} over calibration data: leaving early costs at most "
        f"{own['max_drop']:.2%} of the last exit's accuracy{whom} (tested on {own['inputs']:,} inputs); every policy of "
        "these numbers (float32) keeps it, as long as inputs are as those of the calibration split are"
    ]


def _budget(fitted: Fitted) -> float:
    """Some average MACs that can be kept: those in the middle of the trade-off."""
    costs = fitted.family.front.avg_cost
    return float(np.ceil(costs[len(costs) // 2]))


def _guessing(test: Mapping[str, Any]) -> list[str]:
    """A warning where the network's accuracy could be that of whoever always answers the most frequent class."""
    guess = test.get("guess", 0.0)
    if test["interval"][0] > guess:
        return []
    return ["", f"**No better than guessing**: who always answers the most frequent class gets {guess:.0%} right."]


def _exits(architecture: Architecture, fitted: Fitted) -> list[str]:
    test = fitted.test
    rows = [
        "| exit | MACs to leave | accuracy alone | test inputs that leave | cutoff |",
        "| --- | --- | --- | --- | --- |",
    ]
    for exit, cost in enumerate(architecture.exit_costs):
        cutoff = fitted.policy.cutoffs[exit]
        shown = f"{cutoff:.4f}" if np.isfinite(cutoff) else ("-" if cutoff < 0 else "dropped")
        rows.append(
            f"| {exit} | {format_macs(cost)} | {test['exit_accuracies'][exit]:.2%} | {test['shares'][exit]:.1%} | {shown} |"
        )
    return rows


def _draw(fits: Mapping[str, Fitted], path: Path) -> None:
    """The trade-off of each kind of numbers on the data that cutoffs were fitted to, and the judgement by test data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for numbers, fitted in fits.items():
        front = fitted.family.front
        (line,) = axes.step(
            front.avg_cost / 1e6, 100 * front.accuracy, where="post", label=f"{numbers}, calibration data"
        )
        test = fitted.test
        low, high = test["interval"]
        axes.errorbar(
            [test["avg_macs"] / 1e6],
            [100 * test["accuracy"]],
            yerr=[[100 * (test["accuracy"] - low)], [100 * (high - test["accuracy"])]],
            fmt="o",
            color=line.get_color(),
            capsize=3,
            label=f"{numbers}, as exported, test data",
        )
    axes.set_xlabel("average MACs of an input (millions)")
    axes.set_ylabel("accuracy (%)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
