# The public names of this wing, each imported when it is first used.

from .supernet import Supernet as Supernet
