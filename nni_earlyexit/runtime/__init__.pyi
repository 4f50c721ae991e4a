# The public names of this wing, each imported when it is first used.

from .bundle import Bundle as Bundle
from .bundle import DamagedBundle as DamagedBundle
from .onnx_predictor import OnnxPredictor as OnnxPredictor
from .routing import Prediction as Prediction
from .share_test import ShareTest as ShareTest
from .watch import Shift as Shift
from .watch import ShiftWarning as ShiftWarning
from .watch import Watch as Watch
