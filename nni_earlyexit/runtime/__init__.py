"""Running an exported network on a device: numpy and onnxruntime, and neither torch nor NNI."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
