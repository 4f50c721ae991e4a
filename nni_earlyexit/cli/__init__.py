"""The command ``nni-earlyexit``, one file per command.

Each file has ``add(commands)``, which describes the command line, and ``execute(arguments)``. Describing imports nothing heavy.
"""
