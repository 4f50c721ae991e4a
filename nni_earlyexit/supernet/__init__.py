"""A supernet: one network with the weights of every network of a space, trained once."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
