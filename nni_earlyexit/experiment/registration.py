"""Registration: NNI knows tuner and assessor by name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml
from nni_earlyexit.experiment.environment import environment, programs


def register() -> None:
    """Make tuner and assessor known to this environment's NNI with ``nnictl algo register``, unless they are."""
    from nni.tools.package_utils import get_algo_meta

    meta = Path(__file__).parents[1] / "algorithm.yml"
    for algorithm in yaml.safe_load(meta.read_text(encoding="utf-8"))["algorithms"]:
        known = get_algo_meta(algorithm["builtinName"])
        if known is None or known.class_name != algorithm["className"]:
            break
    else:
        return
    command = [str(programs() / "nnictl"), "algo", "register", "--meta", str(meta)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode != 0:
        raise OSError(f"nnictl algo register failed: {done.stdout.strip()} {done.stderr.strip()}")
