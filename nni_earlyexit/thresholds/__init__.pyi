# The public names of this wing, each imported when it is first used.

from . import confidence as confidence
from .diagnostics import Diagnostic as Diagnostic
from .diagnostics import diagnose as diagnose
from .guarantee import Certificate as Certificate
from .guarantee import Guarantee as Guarantee
from .learned_confidence import LearnedConfidence as LearnedConfidence
from .operating_point import Unreachable as Unreachable
from .optimizer import ThresholdOptimizer as ThresholdOptimizer
from .policy import ExitPolicy as ExitPolicy
from .policy_front import Front as Front
from .policy_front import TradeOff as TradeOff
