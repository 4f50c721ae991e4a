"""Registration: NNI knows tuner and assessor by name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml
from nni_earlyexit.experiment.environment import environment, programs

META = Path(__file__).parents[1] / "algorithm.yml"
"""Names and classes, as ``nnictl algo register`` takes them."""


def is_registered() -> bool:
    """``True`` when this environment's NNI knows tuner and assessor under the classes that they have now."""
    from nni.tools.package_utils import get_algo_meta

    for algorithm in yaml.safe_load(META.read_text(encoding="utf-8"))["algorithms"]:
        entry = get_algo_meta(algorithm["builtinName"])
        if entry is None or entry.class_name != algorithm["className"]:
            return False
    return True


def register() -> bool:
    """Make tuner and assessor known to this environment's NNI with ``nnictl algo register``; ``False`` if they were."""
    if is_registered():
        return False
    command = [str(programs() / "nnictl"), "algo", "register", "--meta", str(META)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode != 0:
        raise OSError(f"nnictl algo register failed: {done.stdout.strip()} {done.stderr.strip()}")
    return True
