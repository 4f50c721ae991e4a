"""The order of the wings, what imports without torch, and that the tests see when an import is turned round."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import imports
import pytest

NNI_PRIVATE = ("_channel", "_models", "_find_reference_model", "_params", "_unlisted_types", "_check_rest_server")
"""Private names of NNI's that this package touches."""
TESTS = Path(__file__).parent
THEIR_PLACES = {"nni_earlyexit.integration.nni_private", "nni_earlyexit.profiling.timm_layers"}


def test_no_import_runs_back():
    assert imports.running_back(imports.arrows()) == []


def test_no_files_import_each_other():
    assert imports.circles(imports.arrows()) == []


@pytest.mark.parametrize(
    ("module", "line", "forbidden"),
    [
        ("nni_earlyexit.thresholds.policy", "from nni_earlyexit.nn.network import EarlyExitNetwork", "nn"),
        ("nni_earlyexit.search.goal", "from nni_earlyexit.integration import rest", "integration"),
        ("nni_earlyexit.strategies.random", "from nni_earlyexit import search_spaces", "search_spaces"),
        ("nni_earlyexit.utils.files", "import nni_earlyexit.thresholds.policy", "thresholds"),
    ],
)
@pytest.mark.parametrize("place", ["{line}\n", "def inside():\n    {line}\n", "if TYPE_CHECKING:\n    {line}\n"])
def test_an_import_that_is_turned_round_is_seen(module, line, forbidden, place):
    modules = imports.files()
    drawn = imports.arrows()
    source = modules[module].read_text() + "\n" + place.format(line=line)
    drawn[module] = set(imports.imported(ast.parse(source), modules))
    (sentence,) = imports.running_back(drawn)
    assert sentence.startswith(f"{module} imports nni_earlyexit.{forbidden}")


def test_two_files_that_import_each_other_are_a_circle():
    drawn = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}
    assert imports.circles(drawn) == [["a", "b", "c"]]
    assert imports.floors(drawn) == {"a": 2, "b": 2, "c": 2, "d": 1}


@pytest.mark.parametrize("name", imports.LIGHT)
def test_what_must_start_fast_imports_without_torch(name):
    chosen = imports.LIGHT[name]
    modules = [
        module
        for module in imports.files()
        if imports.wing(module) == name
        and (not chosen or module.rpartition(".")[2] in chosen)
        and "__main__" not in module
    ]
    code = f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert modules
    assert done.stdout.split()[-1] == "False"


def test_every_private_name_of_nni_is_touched_in_one_place():
    touched = {
        module
        for module, path in imports.files().items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in NNI_PRIVATE
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }
    assert touched == THEIR_PLACES


WORDS = {"found", "known"}
"""Names that say nothing of what they hold."""


def test_names_are_nouns_of_the_field():
    vague = [
        f"{module}:{node.lineno} {node.id}"
        for module, path in imports.files().items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in WORDS
    ]
    vague += [
        f"{module}:{node.lineno} {argument.arg}"
        for module, path in imports.files().items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        if argument.arg in ("of", "at")
    ]
    assert vague == []


def test_docstrings_lead_with_the_noun_or_the_verb():
    leading = [
        f"{module}:{node.lineno} {docstring.split()[0]}"
        for module, path in imports.files().items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and (docstring := ast.get_docstring(node))
        and docstring.split()[0] in ("What", "How", "Whether", "Which", "Where", "Why")
    ]
    assert leading == []


def test_no_test_sets_a_constant_of_the_package_for_all_tests_after_it():
    """Such a value outlives its test, in a process that runs many; ``monkeypatch`` and ``mock.patch.object`` take it back."""
    left = [
        f"{path.relative_to(TESTS)}, line {node.lineno}: {ast.unparse(target)}"
        for path in sorted(TESTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute) and target.attr.isupper() and len(target.attr) > 1
    ]
    assert not left
