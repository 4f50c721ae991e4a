# The public names of this wing, each imported when it is first used.

from .joint_loss import JointLoss as JointLoss
from .settings import Settings as Settings
