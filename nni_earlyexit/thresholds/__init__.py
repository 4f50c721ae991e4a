"""From each exit's outputs and costs to an exit policy: the threshold optimizer and all its mathematics.

It needs numpy and scikit-learn only.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
