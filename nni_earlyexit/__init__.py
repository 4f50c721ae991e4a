"""Early-exit network search for NNI: backbone, exit branches and confidence cutoffs together, under a MACs budget.

Importing this package is cheap: every public name is loaded when it is first used, so that the command line and NNI's
tuner process do not wait for torch.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# In a checkout the search spaces and strategies lie beside this folder, in an installed copy inside it. Python started
# in the checkout finds this folder first even when another copy is installed, so look beside it too.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "setup.cfg").is_file() and (_checkout / "search_spaces").is_dir():
    __path__.append(str(_checkout))

# NNI 3.0 wraps every class of torch.nn and is surprised by those that came after it. Nothing here uses them.
warnings.filterwarnings("ignore", ".*is found to be not a nn.Module", RuntimeWarning, r"nni\.nas\.nn\.pytorch\.layers")

_exported = {
    "EarlyExitEvaluator": "nni_earlyexit.evaluator",
    "EarlyExitNetwork": "nni_earlyexit.network",
    "EarlyExitSpace": "nni_earlyexit.space",
    "ExitPolicy": "nni_earlyexit.policy",
    "Guarantee": "nni_earlyexit.guarantee",
    "SearchStrategy": "nni_earlyexit.nas_strategy",
    "SuccessiveHalving": "nni_earlyexit.halving",
    "ThresholdOptimizer": "nni_earlyexit.thresholds",
    "diagnose": "nni_earlyexit.diagnostics",
    "search_spaces": "nni_earlyexit.search_spaces",
    "strategies": "nni_earlyexit.strategies",
}
__all__ = sorted(_exported)


def __getattr__(name: str) -> Any:
    if name not in _exported:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    module = importlib.import_module(_exported[name])
    return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
