"""Time from the start of a trial process to its first training batch, beside the imports that NNI and torch take alone.

    python benchmarks/startup.py [repeats]

Both are whole processes, measured in turn; a trial is given its parameters by a channel in the process in place of NNI's
manager, whose answer takes milliseconds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

IMPORTS = "import torch, nni.nas.nn.pytorch"

TRIAL = """
import os, sys
from nni.runtime.trial_command_channel import TrialCommandChannel, set_default_trial_command_channel

class Channel(TrialCommandChannel):
    def receive_parameter(self):
        return {{"parameter_id": 0, "parameters": {parameters}}}

set_default_trial_command_channel(Channel())

# The first batch is reached when torch's first loss is asked for; nothing is imported for this before the trial does it.
import builtins
original = builtins.__import__
def watch(name, *args, **kwargs):
    module = original(name, *args, **kwargs)
    training = sys.modules.get("nni_earlyexit.training")
    if training is not None and hasattr(training, "JointLoss"):
        builtins.__import__ = original
        training.JointLoss.training_step = lambda *a: os._exit(0)
    return module
builtins.__import__ = watch

sys.argv = ["trial", "--threads", "1"]
from nni_earlyexit.trial import main
main()
os._exit(3)
"""


def seconds(code: str) -> float:
    """Wall time of a Python process that runs ``code``."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    return time.perf_counter() - start


def main(repeats: int = 7) -> float:
    import numpy as np
    from nni_earlyexit import search_spaces

    space = search_spaces.create("digits")
    parameters = {"space": space.identity(), **space.sample(np.random.default_rng(0))}
    trial = TRIAL.format(parameters=json.dumps(parameters))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NNI_OUTPUT_DIR"] = folder
        for code in (IMPORTS, trial):
            seconds(code)  # warm the disk cache
        imports, trials = zip(*((seconds(IMPORTS), seconds(trial)) for _ in range(repeats)), strict=True)
    ratio = statistics.median(t / i for i, t in zip(imports, trials, strict=True))
    print(f"{IMPORTS}: median {statistics.median(imports):.2f} s ({min(imports):.2f} to {max(imports):.2f})")
    print(
        f"trial to its first batch: median {statistics.median(trials):.2f} s ({min(trials):.2f} to {max(trials):.2f})"
    )
    print(f"median ratio over {repeats} pairs: {ratio:.2f}")
    return ratio


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
