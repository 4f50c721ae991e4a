"""Modules that run: the early-exit network, blocks, the choices between them, and timm models cut into stages."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
