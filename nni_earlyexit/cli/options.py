"""Types and options that several commands have."""

from __future__ import annotations

import argparse
from typing import TypeAlias

from nni_earlyexit.utils.amounts import parse_amount, parse_duration, parse_share
from nni_earlyexit.utils.errors import Parser, parsed_by

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


amount, duration, share = parsed_by(parse_amount), parsed_by(parse_duration), parsed_by(parse_share)


def add_space(command: argparse.ArgumentParser) -> None:
    """The space that a command is about."""
    command.add_argument(
        "space",
        nargs="+",
        help="name of the space and its arguments, such as: mobilenetv3 resolution=224 num_classes=100 max_exits=2",
    )
