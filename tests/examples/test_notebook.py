"""The notebook runs from its first cell to its last, and is kept without outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

FILE = Path(__file__).parents[2] / "examples" / "notebook" / "tour.ipynb"


@pytest.fixture
def notebook() -> NotebookNode:
    return nbformat.read(FILE, as_version=4)


def outputs(notebook: NotebookNode, line: str) -> dict[str, str]:
    """What the cell of code that ends with ``line`` shows, by its type."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.splitlines()[-1] == line]
    return {kind: text for output in cell.outputs for kind, text in output.get("data", {}).items()}


def test_it_is_kept_without_outputs(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.slow
def test_it_goes_from_space_to_front_to_cutoffs(notebook):
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    assert "MACs to leave" in outputs(notebook, "space.freeze(samples[0])")["text/html"]
    assert "Evaluation on validation data: accuracy" in outputs(notebook, "result")["text/html"]
    front = outputs(notebook, "front")
    assert front["text/plain"].startswith("ExperimentFront of tour: ")
    assert front["text/html"].count("take this") == 1
    assert "Front of" in outputs(notebook, "optimizer.front_")["text/html"]
    assert "takes the rest" in outputs(notebook, "optimizer.policy_")["text/html"]
    assert "image/png" in outputs(notebook, "optimizer.plot().figure")
