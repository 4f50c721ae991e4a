# The public names of this wing, each imported when it is first used.

from .config import check as check
from .registration import register as register
