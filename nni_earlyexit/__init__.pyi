# The public names, each imported when it is first used.
from . import search_spaces as search_spaces
from . import strategies as strategies
from .evaluator import EarlyExitEvaluator as EarlyExitEvaluator
from .halving import SuccessiveHalving as SuccessiveHalving
from .nas_strategy import SearchStrategy as SearchStrategy
from .network import EarlyExitNetwork as EarlyExitNetwork
from .space import EarlyExitSpace as EarlyExitSpace
from .thresholds import ExitPolicy as ExitPolicy
from .thresholds import Guarantee as Guarantee
from .thresholds import ThresholdOptimizer as ThresholdOptimizer
from .thresholds import confidence as confidence
from .thresholds import diagnose as diagnose

__version__: str
