"""The folders of an experiment's trials are copied from its workers, so that commands on this machine can read them.

python examples/cluster/fetch.py experiment.yml EXPERIMENT_ID
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from nni.experiment.config import ExperimentConfig


def main() -> None:
    """Copy the trials of every machine in the experiment file, as an archive that SSH hands over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="the experiment file, which names the machines")
    parser.add_argument("id", help="the experiment's ID")
    parser.add_argument(
        "--option", action="append", default=[], help="option of ssh's -o, such as UserKnownHostsFile=FILE"
    )
    arguments = parser.parse_args()
    config = ExperimentConfig.load(arguments.config).canonical_copy()
    target = Path(config.experiment_working_directory).expanduser() / arguments.id
    target.mkdir(parents=True, exist_ok=True)
    # NNI keeps them there, wherever this machine keeps its experiments; upload holds the trials' code
    pack = f"tar -C ~/nni-experiments/{shlex.quote(arguments.id)} -c --exclude=upload environments"
    options = [word for option in arguments.option for word in ("-o", option)]
    for machine in config.training_service.machine_list:
        login = ["-p", str(machine.port), "-i", str(machine.ssh_key_file), f"{machine.user}@{machine.host}"]
        with subprocess.Popen(["ssh", *options, *login, pack], stdout=subprocess.PIPE) as archive:
            unpacked = subprocess.run(["tar", "-x", "-C", str(target)], stdin=archive.stdout, check=False)
        if archive.returncode or unpacked.returncode:
            sys.exit(f"host: not everything came from {machine.host!r}")
    print(target)


if __name__ == "__main__":
    main()
