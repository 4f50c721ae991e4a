"""The space of early-exit networks, an NNI ``ModelSpace``: its base class, rules, identity, domain and latency table."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
