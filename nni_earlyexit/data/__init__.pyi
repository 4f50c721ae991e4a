# The public names of this wing, each imported when it is first used.

from .loaders import batches as batches
from .registry import DATA_SETS as DATA_SETS
from .registry import check_data_name as check_data_name
from .settings import DataSettings as DataSettings
from .sources import load as load
from .sources import load_settings as load_settings
from .splits import Data as Data
from .splits import Split as Split
from .splits import check_fits as check_fits
from .splits import split as split
