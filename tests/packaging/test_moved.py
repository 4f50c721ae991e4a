"""Files of users import modules by the names that they had."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from nni_earlyexit._finder import MOVED

CODE = f"""
import importlib, warnings
for name, place in {MOVED!r}.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FutureWarning)
        old = importlib.import_module("nni_earlyexit." + name)
    said = [str(warning.message) for warning in caught if warning.category is FutureWarning]
    assert old is importlib.import_module("nni_earlyexit." + place), name
    assert said == ["nni_earlyexit." + name + " is nni_earlyexit." + place + " now"], said
print("all")
"""


def test_a_module_that_has_moved_is_found_under_its_old_name_and_says_where_it_is():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout == "all\n", done.stderr


def test_no_other_name_is_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nni_earlyexit.tests")
