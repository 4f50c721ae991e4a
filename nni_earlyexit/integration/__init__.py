"""Parts that run inside NNI's processes: tuner, assessor, evaluator and strategy, and what NNI lacks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
