"""The search of a space: ask and tell, archive, objectives, limits, and what strategies are made of.

It knows neither torch nor NNI: the same objects serve NNI's tuner, ``NasExperiment``, a loop and a test.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
