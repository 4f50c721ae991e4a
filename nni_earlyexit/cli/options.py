"""Types and options that several commands have."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeAlias

from nni_earlyexit.utils.amounts import parse_amount, parse_duration, parse_share
from nni_earlyexit.utils.errors import Parser, parsed_by

if TYPE_CHECKING:
    from nni_earlyexit.thresholds.guarantee import Guarantee

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


amount, duration, share = parsed_by(parse_amount), parsed_by(parse_duration), parsed_by(parse_share)


def add_guarantee(group: argparse._ArgumentGroup) -> None:
    """Options of a guarantee."""
    group.add_argument(
        "--guarantee", type=share, help="the true drop is at most this, with probability --with-confidence"
    )
    group.add_argument("--with-confidence", type=share, default=0.95, help="of the guarantee (95%%)")
    group.add_argument(
        "--guarantee-among",
        choices=("all", "early"),
        default="all",
        help="inputs that the guarantee is about: all (default), or early, those that leave before the last exit",
    )


def guarantee_of(arguments: argparse.Namespace) -> Guarantee | None:
    """The guarantee that was asked for, if one was."""
    from nni_earlyexit.thresholds.guarantee import Guarantee

    if arguments.guarantee is None:
        return None
    return Guarantee(arguments.guarantee, arguments.with_confidence, among=arguments.guarantee_among)


def add_space(command: argparse.ArgumentParser) -> None:
    """The space that a command is about."""
    command.add_argument(
        "space",
        nargs="+",
        help="name of the space and its arguments, such as: mobilenetv3 resolution=224 num_classes=100 max_exits=2",
    )
