# The public names of this wing, each imported when it is first used.

from .archive import Archive as Archive
from .ask_tell import AskTell as AskTell
from .ask_tell import Exhausted as Exhausted
from .costs import ExitCosts as ExitCosts
from .domain import Domain as Domain
from .domain import Sample as Sample
from .domain import key as key
from .goal import Goal as Goal
from .limits import LIMITS as LIMITS
from .limits import Limits as Limits
from .session import Session as Session
from .successive_halving import SuccessiveHalving as SuccessiveHalving
from .trials import Trial as Trial
