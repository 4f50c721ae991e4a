from __future__ import annotations

import pytest
from nni_earlyexit.utils.named_function import named_function


def test_a_function_is_had_by_its_name():
    import json

    assert named_function("train", "json.dumps") is json.dumps


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("train", "train: 'train' is not possible; a function in a Python module, such as my.package.name, is"),
        (
            "no.such.module.train",
            "train: 'no.such.module' cannot be imported: No module named 'no'; is its folder on PYTHONPATH",
        ),
        ("json.train", "train: the module 'json' has no 'train'"),
        ("json.__name__", "train: 'json.__name__' is str, not a function"),
    ],
)
def test_what_is_none_is_refused(name, sentence):
    with pytest.raises(ValueError, match=sentence):
        named_function("train", name)
