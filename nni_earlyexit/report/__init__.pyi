# The public names of this wing, each imported when it is first used.

from .front_report import write_front as write_front
