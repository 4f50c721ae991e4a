# The public names of this wing, each imported when it is first used.

from .loaders import batches as batches
from .loaders import readers as readers
from .loading import load as load
from .loading import load_settings as load_settings
from .loading import read_raw as read_raw
from .raw import ArrayInputs as ArrayInputs
from .raw import Raw as Raw
from .registry import kinds as kinds
from .settings import DataSettings as DataSettings
from .splits import Data as Data
from .splits import Split as Split
from .splits import check_fits as check_fits
