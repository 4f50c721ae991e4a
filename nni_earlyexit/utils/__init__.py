"""Checks of arguments, errors in one sentence, whole files, amounts and tables as text; open to every wing, without torch."""
