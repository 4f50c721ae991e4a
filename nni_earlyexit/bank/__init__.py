"""A bank of exit branches: with a backbone that is kept, each branch is trained once, and a network is a lookup."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
