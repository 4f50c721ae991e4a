"""The same search from Python: NNI's NasExperiment around our space, evaluator and strategy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import free_port
from nni_earlyexit import front, record, search_spaces

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits" / "search.py"
