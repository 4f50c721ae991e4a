"""Files of users import modules by the names that they had."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from nni_earlyexit._finder import MOVED


@pytest.mark.parametrize("name", MOVED)
def test_a_module_that_has_moved_is_found_under_its_old_name_and_says_where_it_is(name):
    code = (
        f"import importlib, warnings; warnings.simplefilter('error', FutureWarning)\n"
        f"try: importlib.import_module('nni_earlyexit.{name}')\nexcept FutureWarning as warning: print(warning)\n"
        f"warnings.simplefilter('ignore')\n"
        f"old = importlib.import_module('nni_earlyexit.{name}')\n"
        f"print(old is importlib.import_module('nni_earlyexit.{MOVED[name]}'))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"nni_earlyexit.{name} is nni_earlyexit.{MOVED[name]} now", "True"]


def test_no_other_name_is_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nni_earlyexit.tests")
