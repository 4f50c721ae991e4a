"""Costs of a network without building it: MACs, parameters, memory and seconds, and the formulas of timm's layers.

Importing this package registers the formulas once; afterwards NNI's ``FlopsProfiler`` accepts spaces built of these layers,
with or without early exits.
"""

from nni_earlyexit.profiling import timm_layers

__all__ = ["timm_layers"]
