"""``python -m nni_earlyexit.cli``."""

from nni_earlyexit.cli.main import main

main()
