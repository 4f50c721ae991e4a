from __future__ import annotations

from itertools import product

import pytest
from nni.mutable import Categorical, MutableExpression
from nni_earlyexit.profiling.expressions import compiled

A, B = Categorical([1, 2, 3], label="a"), Categorical(["x", "y"], label="b")
SWITCH = MutableExpression.switch_case(B, {"x": A * 10, "y": 7})


@pytest.mark.parametrize(
    "expression",
    [
        A,
        A + 1,
        (A >= 2) * SWITCH,
        SWITCH + A * A - 3,
        A // 2 + MutableExpression.max(A, 2),
        sum([(i <= A) * SWITCH for i in (1, 2, 3)]),
        MutableExpression.switch_case(A, {1: SWITCH, 2: SWITCH + 1, 3: 0}),
    ],
)
def test_a_compiled_expression_gives_what_nni_evaluates(expression):
    function = compiled(expression)
    for a, b in product(A.values, B.values):
        sample = {"a": a, "b": b}
        assert function(sample) == expression.evaluate(sample)


def test_a_number_stays_a_number():
    assert compiled(5)({}) == 5
