# The public names of this wing, each imported when it is first used.

from .bench import bench as bench
from .bundle import load_network as load_network
from .bundle import save_bundle as save_bundle
from .export import export as export
from .predictor import EarlyExitPredictor as EarlyExitPredictor
from .segments import exported_segments as exported_segments
from .wish import Wish as Wish
