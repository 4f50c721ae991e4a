"""Kinds of data sets, one file each; the file's name is the kind's name. See :mod:`nni_earlyexit.data.registry`."""
