"""Training a network: settings, the joint loss over its exits, and the fit loop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
