# The public names of this wing, each imported when it is first used.

from . import blocks as blocks
from .mutables import OptionalExit as OptionalExit
from .mutables import choose as choose
from .mutables import exit_branch as exit_branch
from .mutables import layer as layer
from .mutables import stage as stage
from .network import EarlyExitNetwork as EarlyExitNetwork
