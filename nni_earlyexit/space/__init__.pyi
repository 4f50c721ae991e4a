# The public names of this wing, each imported when it is first used.

from .base import EarlyExitSpace as EarlyExitSpace
from .base import Parts as Parts
from .exit_form import ExitForm as ExitForm
from .exit_rules import ExitRules as ExitRules
from .latency_table import LatencyTable as LatencyTable
from .resolution import check_divides as check_divides
from .resolution import check_halvings as check_halvings
from .resolution import is_small as is_small
from .resolution import kept_strides as kept_strides
from .resolution import nearest as nearest
from .search_domain import domain as domain
from .search_domain import plain_domain as plain_domain
