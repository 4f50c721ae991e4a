# The public names of this wing, each imported when it is first used.

from .features import SampleFeatures as SampleFeatures
from .models import FAMILIES as FAMILIES
from .models import Models as Models
from .targets import Targets as Targets
from .targets import targets as targets
