"""Parts that drive NNI from outside: the check of an experiment file, registration, environment, manager and run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
