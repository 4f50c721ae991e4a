"""The folders of an experiment's trials are copied from its workers, so that commands on this machine can read them.

python examples/cluster/fetch.py experiment.yml EXPERIMENT_ID
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from nni.experiment.config import ExperimentConfig


def main() -> None:
    """Copy ``environments`` of every machine in the experiment file, with scp."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="the experiment file, which names the machines")
    parser.add_argument("id", help="the experiment's ID")
    parser.add_argument(
        "--option", action="append", default=[], help="option of scp's -o, such as UserKnownHostsFile=FILE"
    )
    arguments = parser.parse_args()
    config = ExperimentConfig.load(arguments.config).canonical_copy()
    target = Path(config.experiment_working_directory).expanduser() / arguments.id / "environments"
    target.mkdir(parents=True, exist_ok=True)
    options = [word for option in arguments.option for word in ("-o", option)]
    for machine in config.training_service.machine_list:
        # NNI keeps them there, wherever this machine keeps its experiments
        source = f"{machine.user}@{machine.host}:nni-experiments/{arguments.id}/environments/."
        command = [
            "scp",
            "-rq",
            "-P",
            str(machine.port),
            "-i",
            str(machine.ssh_key_file),
            *options,
            source,
            str(target),
        ]
        if subprocess.run(command, check=False).returncode:
            sys.exit(f"host: nothing came from {machine.host!r}")
    print(target.parent)


if __name__ == "__main__":
    main()
