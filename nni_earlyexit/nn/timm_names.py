"""The names of timm's models, read from its source: importing timm takes seconds, and a wrong name should not wait for it."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

from nni_earlyexit.utils.checks import unknown


def names() -> list[str]:
    """Every model that the installed timm registers when it is imported, without its old names."""
    return sorted({name for text in _sources() for name in re.findall(r"^@register_model\s+def (\w+)\(", text, re.M)})


def check_early(model: str) -> None:
    """``ValueError`` with the nearest names for a ``model`` that timm cannot have, as long as timm is not imported.

    Once it is, only timm itself knows: models of the user's own may have been registered.
    """
    name = model.partition(".")[0]
    if "timm" in sys.modules or name in names() or any(f"'{name}':" in text for text in _sources()):  # an old name
        return
    raise unknown("model", model, names())


def _sources() -> list[str]:
    spec = find_spec("timm")
    if spec is None or spec.origin is None:
        return []
    return [path.read_text(encoding="utf-8") for path in sorted((Path(spec.origin).parent / "models").glob("*.py"))]
