from __future__ import annotations

import re
import subprocess
import sys

import pytest
from nni_earlyexit.data import registry
from nni_earlyexit.data.settings import DataSettings


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cifar", "data: 'cifar' is unknown; did you mean 'cifar10' or 'cifar100'?"),
        ("fashion", "data: 'fashion' is unknown; did you mean 'fashion_mnist'?"),
        ("folders:x", "data: 'folders:x' is unknown; did you mean 'folder' or 'folder:PATH'?"),
        ("folder", "data: 'folder' is not possible; folder:PATH is"),
        ("cifar10:x", "data: 'cifar10:x' is not possible; cifar10 is"),
    ],
)
def test_an_unknown_data_set_gets_the_nearest_names(name, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        DataSettings(name)


def test_checking_every_kind_imports_neither_torch_nor_pillow():
    code = (
        "import sys\nfrom nni_earlyexit.data import registry\nassert len(registry.names()) == 9\n"
        "print([name for name in ('torch', 'torchvision', 'PIL', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_kind_has_what_the_registry_says():
    for kind in registry.kinds():
        module = registry.Source(kind, "").module
        assert callable(module.check)
        assert callable(module.read)
        assert hasattr(module, "listing") == module.RESIZES
