"""The command ``nni-earlyexit``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nni_earlyexit.errors import Parser, exits_with_one_sentence


def parser() -> Parser:
    """The command line."""

    p = Parser(prog="nni-earlyexit", description="Search early-exit networks with NNI.")
    commands = p.add_subparsers(dest="command", required=True)

    space = commands.add_parser("space", help="print NNI's search space file of a space")
    space.add_argument("name", help="name of the space")

    check = commands.add_parser("check", help="check an NNI experiment file")
    check.add_argument("config", type=Path, help="the experiment file")

    run = commands.add_parser("run", help="run an NNI experiment file, show progress and write the front")
    run.add_argument("config", type=Path, help="the experiment file")
    run.add_argument("--port", type=int, default=8080, help="port of NNI's web UI, on this machine only (8080)")
    run.add_argument("--results", type=Path, help="folder for front.json and front.png (results beside the file)")

    front = commands.add_parser("front", help="judge and write the front of an experiment's finished trials")
    front.add_argument("folder", type=Path, help="the experiment's folder, such as ~/nni-experiments/ID")
    front.add_argument("--results", type=Path, default=Path("results"), help="folder for front.json and front.png")

    commands.add_parser("register", help="make the EarlyExit tuner known to this environment's NNI")
    return p


@exits_with_one_sentence
def main() -> None:
    arguments = parser().parse_args()
    if arguments.command == "space":
        from nni_earlyexit import search_spaces

        print(json.dumps(search_spaces.create(arguments.name).search_space(), indent=2))
    elif arguments.command == "check":
        from nni_earlyexit.experiment_file import check

        check(arguments.config)
        print(f"{arguments.config} can be run")
    elif arguments.command == "run":
        from nni_earlyexit.run import run

        sys.exit(run(arguments.config, port=arguments.port, results=arguments.results, say=_say))
    elif arguments.command == "front":
        from nni_earlyexit.experiment_file import check_writable
        from nni_earlyexit.run import write_front

        if not arguments.folder.is_dir():
            raise FileNotFoundError(f"folder: there is no folder {str(arguments.folder)!r}")
        check_writable(arguments.results, "results")
        sys.exit(0 if write_front(arguments.folder.expanduser(), arguments.results, _say) else 1)
    elif arguments.command == "register":
        from nni_earlyexit.experiment_file import register

        register()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
