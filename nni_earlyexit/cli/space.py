"""``nni-earlyexit space``: NNI's search space file of a space."""

from __future__ import annotations

import json
from typing import Any

from nni_earlyexit.cli.options import Space, takes
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.space.identity import of_words
from nni_earlyexit.utils.options import build


@takes({"Data that resolution and num_classes follow": DataSettings})
def command(space: Space, **given: Any) -> None:
    """Print NNI's search space file of a space.

    With --data, resolution and num_classes follow the data set where the space does not name them.

    Example: nni-earlyexit space mobilenetv3 --data folder:PATH > search_space.json
    """
    name = of_words(space)
    if "data" in given:
        from nni_earlyexit.evaluation.space_for_data import space_for_data

        made = space_for_data(name, build(DataSettings, given))
    elif given:
        raise ValueError(f"{next(iter(given))}: it is about a data set, which --data names; leave it out or give both")
    else:
        from nni_earlyexit import search_spaces

        made = search_spaces.create(name)
    print(json.dumps(made.search_space(), indent=2))
