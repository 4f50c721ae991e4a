# The public names of this wing, each imported when it is first used.

from .evaluation import Evaluation as Evaluation
from .record import Record as Record
