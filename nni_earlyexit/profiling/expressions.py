"""NNI's symbolic expressions, made fast: a number of a sample in microseconds.

``MutableExpression.evaluate`` works out every case of every choice. Here what depends on one choice becomes a table, and
only the case that a sample chose is looked at.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from nni.mutable import Categorical, MutableExpression

Function: TypeAlias = Callable[[Mapping[str, Any]], Any]


def compiled(expression: Any) -> Function:
    """A function that gives the value of ``expression`` for a sample."""
    if not isinstance(expression, MutableExpression):
        return lambda sample: expression
    leaves = {leaf.label: leaf for leaf in expression.leaf_symbols()}
    if len(leaves) == 1:
        (leaf,) = leaves.values()
        if isinstance(leaf, Categorical):
            return looked_up(leaf.label, {value: expression.evaluate({leaf.label: value}) for value in leaf.values})
    arguments = expression.arguments
    if expression.function is operator.add:
        return added([compiled(argument) for argument in _terms(expression)])
    if expression.function is operator.mul:
        first, second = map(compiled, arguments)
        # most factors are a condition such as depth >= 2
        return lambda sample: factor * second(sample) if (factor := first(sample)) else 0
    if expression.repr_template.startswith("switch_case(") and isinstance(arguments[0], Categorical):
        cases = {key: compiled(value) for key, value in zip(arguments[1::2], arguments[2::2], strict=True)}
        label = arguments[0].label
        return lambda sample: cases[sample[label]](sample)
    function, parts = expression.function, [compiled(argument) for argument in arguments]
    return lambda sample: function(*[part(sample) for part in parts])


def looked_up(label: str, table: Mapping[Any, Any]) -> Function:
    """The value that ``table`` has for what the sample chose."""
    return lambda sample: table[sample[label]]


def added(functions: Sequence[Function]) -> Function:
    """The sum of ``functions``."""

    def total(sample: Mapping[str, Any]) -> Any:
        value = 0
        for function in functions:
            value += function(sample)
        return value

    return functions[0] if len(functions) == 1 else total


def _terms(expression: Any) -> list[Any]:
    """The terms that a chain of additions adds."""
    pending, terms = [expression], []
    while pending:
        term = pending.pop()
        if isinstance(term, MutableExpression) and term.function is operator.add:
            pending += reversed(term.arguments)
        else:
            terms.append(term)
    return terms
