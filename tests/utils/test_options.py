from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from nni_earlyexit.training.settings import Settings
from nni_earlyexit.utils.checks import boolean, list_of, number, one_of, optional, positive, share, whole_number
from nni_earlyexit.utils.errors import Parser
from nni_earlyexit.utils.options import add_options, build, check_options, flat, markdown, numpydoc, option, options


@dataclass(frozen=True)
class Oven:
    heat: float = option(180.0, "degrees inside", positive("degrees"), unit="degrees")
    fan: bool = option(False, "whether air is moved", boolean())

    def __post_init__(self):
        check_options(self)


@dataclass(frozen=True)
class Cake:
    layers: int = option(2, "layers of it", whole_number(1, 5))
    fruits: tuple[str, ...] | None = option(
        None, "on top", optional(list_of(one_of(("kiwi", "plum")), "fruits")), many=True
    )
    source: str = option("mill", "where the flour is from", one_of(("mill", "shop")), name="flour")
    oven: Oven = field(default_factory=Oven)

    def __post_init__(self):
        check_options(self)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"layers": True}, "layers: True is not possible; a whole number from 1 to 5 is"),
        ({"layers": "2"}, "layers: '2' is not possible; a whole number from 1 to 5 is"),
        ({"layers": 6}, "layers: 6 is not possible"),
        ({"layers": 1.5}, "layers: 1.5 is not possible"),
        ({"heat": float("nan")}, "heat: nan is not possible; a positive number of degrees is"),
        ({"heat": "180"}, "heat: '180' is not possible"),
        ({"fan": 1}, "fan: 1 is not possible; true or false is"),
        ({"fruits": ["kiwi", "stone"]}, r"fruits: \['kiwi', 'stone'\] is not possible; fruits are"),
        ({"flour": "field"}, "flour: 'field' is not possible; 'mill' and 'shop' are"),
        ({"layer": 2}, "cake: 'layer' is unknown; did you mean 'layers'?"),
        ({"source": "mill"}, "cake: 'source' is unknown"),
    ],
)
def test_what_is_not_right_is_one_sentence_with_the_name_the_value_and_what_is(given, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        build(Cake, given, "cake")


def test_from_outside_all_options_are_one_flat_set_of_names():
    cake = build(Cake, {"layers": np.int64(3), "fruits": ["plum"], "flour": "shop", "fan": True})
    assert cake == Cake(3, ("plum",), "shop", Oven(fan=True))
    assert flat(cake) == {"layers": 3, "fruits": ("plum",), "flour": "shop", "heat": 180.0, "fan": True}
    assert [o.name for o in options(Cake)] == list(flat(cake))
    assert build(Cake, flat(cake)) == cake


def test_a_command_line_is_made_of_them():
    parser = Parser()
    add_options(parser, Cake)
    words = "--layers 3 --fruits kiwi plum --heat 1k --fan"
    given = vars(parser.parse_args(words.split()))
    assert build(Cake, given) == Cake(3, ("kiwi", "plum"), "mill", Oven(1000.0, True))
    with pytest.raises(ValueError, match="--layers: 'few' is not possible; a whole number from 1 to 5 is"):
        parser.parse_args(["--layers", "few"])


def test_docstrings_and_tables_are_made_of_them():
    assert "heat : default 180.0\n        Degrees inside." in numpydoc(Cake)
    assert "| `layers` | `2` | a whole number from 1 to 5 | Layers of it |" in markdown(Cake)


@pytest.mark.parametrize(
    ("check", "right", "wrong"), [(share(), [0, 0.5, 1], [-0.1, 1.1, True]), (number(0), [0, 3], [-1, None])]
)
def test_checks(check, right, wrong):
    for value in right:
        check("name", value)
    for value in wrong:
        with pytest.raises(ValueError, match="name: "):
            check("name", value)


@pytest.mark.parametrize("given", [{"epochs": True}, {"learning_rate": "0.1"}, {"seed": -1}, {"epoch": 3}, {"knee": 1}])
def test_no_setting_is_taken_that_cannot_work(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        Settings.from_options(**given)
