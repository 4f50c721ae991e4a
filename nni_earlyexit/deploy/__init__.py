"""From a network of a search to something that runs elsewhere: bundle, ONNX, predictor."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
