# The public names of this wing, each imported when it is first used.

from .evaluator import EarlyExitEvaluator as EarlyExitEvaluator
from .nas_strategy import SearchStrategy as SearchStrategy
