"""Early-exit network search for NNI: backbone, exit branches and confidence cutoffs together, under a MACs budget.

Importing this package is cheap: every public name is loaded when it is first used, so that the command line and NNI's
tuner process do not wait for torch.
"""

import warnings

import lazy_loader
from nni_earlyexit import _finder

__version__ = "0.1.0"

_finder.install()

# NNI 3.0 wraps every class of torch.nn and is surprised by those that came after it. Nothing here uses them.
warnings.filterwarnings("ignore", ".*is found to be not a nn.Module", RuntimeWarning, r"nni\.nas\.nn\.pytorch\.layers")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
