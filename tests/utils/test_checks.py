import pytest
from nni_earlyexit.utils.checks import lookup, unknown


def test_a_known_name_gives_its_value():
    assert lookup({"margin": 1, "energy": 2}, "energy", "confidence") == 2


def test_an_unknown_name_is_answered_with_the_field_the_value_and_the_nearest_names():
    with pytest.raises(ValueError, match=r"^confidence: 'margn' is unknown; did you mean 'margin'\?$"):
        lookup({"margin": 1, "energy": 2}, "margn", "confidence")


def test_a_name_that_resembles_none_is_answered_with_all_names():
    assert str(unknown("strategy", "zzzz", ["random", "nsga2"])) == "strategy: 'zzzz' is unknown; known: nsga2, random"


@pytest.mark.parametrize("name", [None, 3, ["max_prob"]])
def test_a_name_that_is_no_text_gets_the_same_kind_of_answer(name):
    assert str(unknown("data", name, ["digits"])).startswith(f"data: {name!r} is unknown")


def test_of_a_thousand_names_a_sentence_has_the_nearest_or_three():
    names = [f"resnet{number}" for number in range(1000)]
    assert str(
        unknown("model", "resnet18x", names)
    ) == "model: 'resnet18x' is unknown; did you mean 'resnet18' or {}?".format("'resnet918' or 'resnet818'")
    assert (
        str(unknown("model", "@@@", names)) == "model: '@@@' is unknown; known: resnet0, resnet1, resnet10 and 997 more"
    )
