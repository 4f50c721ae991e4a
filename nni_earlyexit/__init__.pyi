# The public names, each imported when it is first used.
from . import search_spaces as search_spaces  # type: ignore[attr-defined]  # beside this folder in a checkout
from . import strategies as strategies  # type: ignore[attr-defined]
from .integration.evaluator import EarlyExitEvaluator as EarlyExitEvaluator
from .integration.nas_strategy import SearchStrategy as SearchStrategy
from .nn import EarlyExitNetwork as EarlyExitNetwork
from .search import SuccessiveHalving as SuccessiveHalving
from .space import EarlyExitSpace as EarlyExitSpace
from .thresholds import ExitPolicy as ExitPolicy
from .thresholds import Guarantee as Guarantee
from .thresholds import ThresholdOptimizer as ThresholdOptimizer
from .thresholds import confidence as confidence
from .thresholds import diagnose as diagnose

__version__: str
