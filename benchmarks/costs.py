"""Costs of every exit: are they exact, and how fast, beside thop, fvcore and ptflops on the same networks.

    pip install ".[benchmarks]"
    python benchmarks/costs.py [samples] [space ...]

For each space, random samples are frozen; their costs from the space are compared with torch's counter on the network of
every exit. thop, fvcore and ptflops count the last exit of the first ten networks.
"""

from __future__ import annotations

import contextlib
import io
import logging
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from nni_earlyexit import search_spaces
from nni_earlyexit.nn.inference import example
from nni_earlyexit.nn.network import EarlyExitNetwork
from torch.utils.flop_counter import FlopCounterMode

SPACES = (
    "digits",
    "mobilenetv3",
    "mobilenetv3 resolution=224 num_classes=1000",
    "mobilenetv4",
    "mobilenetv4 resolution=224 num_classes=1000",
    "resnet",
    "resnet resolution=224 num_classes=1000",
    "vit",
    "vit resolution=224 patch=16 channels=192 num_classes=1000",
    "text",
    "timm:resnet18 resolution=64",
)
PEERS = 10


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def exact(space: Any, network: EarlyExitNetwork, sample: dict[str, Any]) -> bool:
    """Whether MACs, parameters and activation memory of every exit equal those of the network that ends there."""
    x = example(space.input_shape)
    for k, macs in enumerate(space.exit_costs(sample)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network.truncate(k).eval()(x)
        if counter.get_total_flops() != 2 * macs:
            return False
    return (space.exit_params(sample), space.exit_activation_bytes(sample)) == (
        network.exit_params,
        network.exit_activation_bytes,
    )


def peers(space: Any, networks: list[EarlyExitNetwork]) -> dict[str, float]:
    """Median seconds that each peer takes for one network."""
    import fvcore.nn
    import ptflops
    import thop

    x = example(space.input_shape)
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    tools: dict[str, Callable[[EarlyExitNetwork], Any]] = {
        "thop": lambda network: thop.profile(network, (x,), verbose=False),
        "fvcore": lambda network: fvcore.nn.FlopCountAnalysis(network, x).total(),
        "ptflops": lambda network: ptflops.get_model_complexity_info(
            network,
            tuple(space.input_shape),
            input_constructor=lambda _: {"x": x},
            print_per_layer_stat=False,
            as_strings=False,
        ),
    }
    found = {}
    for name, run in tools.items():
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[name] = statistics.median(seconds(partial(run, network)) for network in networks)
    return found


def report(name: str, samples: int) -> None:
    torch.set_num_threads(1)  # single inputs are too little work to be shared
    start = time.perf_counter()
    space = search_spaces.create(name)
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(samples)]
    created = time.perf_counter() - start
    setup = seconds(lambda: space.all_costs(drawn[0]))
    micro = {
        cost.__name__: 1e6 * seconds(lambda c=cost: [c(sample) for sample in drawn]) / samples
        for cost in (space.exit_costs, space.exit_params, space.exit_activation_bytes)
    }
    freezing = []
    right = 0
    first: list[EarlyExitNetwork] = []
    for sample in drawn:
        start = time.perf_counter()
        network = space.freeze(sample)
        freezing.append(time.perf_counter() - start)
        right += exact(space, network, sample)
        if len(first) < PEERS:
            first.append(network.eval())
    beside = peers(space, first)
    ours = micro["exit_costs"] * 1e-6
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{space.identity()}\n"
        f"  exact at every exit: {right} of {samples} samples\n"
        f"  a sample: MACs {micro['exit_costs']:.1f} us, parameters {micro['exit_params']:.1f} us, "
        f"activations {micro['exit_activation_bytes']:.1f} us (all exits)\n"
        f"  one network: "
        + ", ".join(f"{peer} {value * 1e3:.0f} ms ({value / ours:,.0f}x)" for peer, value in beside.items())
        + f"\n  set-up {setup:.2f} s after {created:.2f} s to create it; freeze median {statistics.median(freezing) * 1e3:.0f} "
        f"ms, largest {max(freezing) * 1e3:.0f} ms; process {memory:.0f} MiB",
        flush=True,
    )


def main(samples: int = 1000, *names: str) -> None:
    """Report every space, each in a process of its own, so that its memory is its own."""
    import subprocess

    if len(names) == 1:
        report(names[0], samples)
        return
    for name in names or SPACES:
        subprocess.run([sys.executable, "-W", "ignore", __file__, str(samples), name], check=True)


if __name__ == "__main__":
    main(*(int(argument) if argument.isdigit() else argument for argument in sys.argv[1:]))  # type: ignore[arg-type]
