# The public names of this wing, each imported when it is first used.

from .base import EarlyExitSpace as EarlyExitSpace
from .base import Parts as Parts
from .exit_rules import ExitRules as ExitRules
from .latency_table import LatencyTable as LatencyTable
from .resolution import check_divides as check_divides
from .resolution import is_small as is_small
from .search_domain import domain as domain
from .search_domain import plain_domain as plain_domain
