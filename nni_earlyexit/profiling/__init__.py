"""Shape and FLOPs formulas of timm layers for NNI's profiler, useful without early exits too.

Importing this package registers them once; afterwards NNI's ``FlopsProfiler`` accepts spaces built of these layers.
"""

from nni_earlyexit.profiling import timm_layers

__all__ = ["timm_layers"]
