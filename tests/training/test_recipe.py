from __future__ import annotations

import pytest
from nni_earlyexit.training.recipe import Recipe
from nni_earlyexit.training.recipes import FAST, PLAIN, RECIPES, WORDS


@pytest.mark.parametrize(
    ("input_shape", "usual"),
    [((3, 32, 32), FAST), ((1, 28, 28), FAST), ((1, 8, 8), PLAIN), ((64,), PLAIN), ((3, 16, 12), PLAIN)],
)
def test_auto_is_fast_for_images_and_plain_for_other_inputs(input_shape, usual):
    filled = Recipe().filled(input_shape)
    assert {name: getattr(filled, name) for name in usual} == dict(usual)


def test_auto_is_words_for_sentences():
    assert Recipe().filled((64,), sentences=True).word_dropout == WORDS["word_dropout"] > 0


def test_what_is_given_is_kept_even_if_it_is_nothing():
    filled = Recipe(recipe="strong", mixup=0.0, learning_rate=0.5, epochs=3).filled((3, 32, 32))
    assert (filled.mixup, filled.learning_rate, filled.epochs) == (0.0, 0.5, 3)
    assert filled.cutmix == RECIPES["strong"]["cutmix"]


def test_every_recipe_has_a_right_value_for_the_same_options():
    for name, values in RECIPES.items():
        assert values.keys() == PLAIN.keys()
        Recipe(recipe=name).filled((3, 32, 32))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"recipe": "fats"}, "recipe: 'fats' is not possible; .*'fast'"),
        ({"regime": "both"}, "regime: 'both' is not possible; .*'mixed'"),
        ({"precision": "float16"}, "precision: 'float16' is not possible"),
        ({"exit_weights": "steep"}, "exit_weights: 'steep' is not possible; constant, linear, cost or numbers"),
        ({"exit_weights": (1.0, -1.0)}, "exit_weights: .* is not possible"),
        ({"distillation": 1.5}, "distillation: 1.5 is not possible"),
        ({"mixup": -1}, "mixup: -1 is not possible"),
        ({"patience": 0}, "patience: 0 is not possible"),
        ({"time_limit": 0}, "time_limit: 0 is not possible"),
    ],
)
def test_values_that_cannot_work_are_named(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Recipe(**options)
