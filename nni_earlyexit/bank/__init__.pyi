# The public names of this wing, each imported when it is first used.

from .bank import Bank as Bank
