"""Make a folder that any web server can serve: a page in which the segments of a bundle run.

python examples/browser/prepare.py BUNDLE --data digits --out DIR
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import nni_earlyexit  # noqa: F401  (silences a warning of NNI's)
from nni_earlyexit import search_spaces
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.deploy.export import test_data
from nni_earlyexit.runtime.bundle import ARCHITECTURE, POLICY, Bundle
from nni_earlyexit.runtime.onnx_predictor import segment_file
from nni_earlyexit.utils.checks import check_writable, whole_number
from nni_earlyexit.utils.errors import exits_with_one_sentence
from nni_earlyexit.utils.files import write_json
from nni_earlyexit.utils.options import add_options, build, options

HERE = Path(__file__).parent
PAGE = ("index.html", "early_exits.js")
ONNXRUNTIME = "onnxruntime-web@1.30.0"
DIST = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""What the page needs of it."""


@exits_with_one_sentence
def main() -> None:
    """Make the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="folder of the bundle, exported with --onnx")
    parser.add_argument("--out", type=Path, required=True, help="the folder, new or empty")
    parser.add_argument("--pictures", type=int, default=48, help="test pictures, evenly from all of them (48)")
    parser.add_argument("--allow-space", action="append", default=[], help="module of yours that the bundle may name")
    add_options(parser, DataSettings)
    arguments = parser.parse_args()
    for name in arguments.allow_space:
        search_spaces.allow(name)
    settings = build(DataSettings, {o.name: getattr(arguments, o.name) for o in options(DataSettings)})
    prepare(arguments.bundle, settings, arguments.out, arguments.pictures)
    print(f"python -m http.server --bind 127.0.0.1 --directory {arguments.out} 8000    # http://127.0.0.1:8000")


def prepare(folder: Path, settings: DataSettings, out: Path, count: int) -> None:
    """Write page, segments, policy, so many test pictures with their classes and onnxruntime-web to ``out``.

    ``ValueError`` for a network that takes no pictures or does not fit the data, and an ``out`` that holds something.
    """
    whole_number(1)("pictures", count)
    check_writable(out, "out")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"out: {str(out)!r} holds something already; choose a new folder")
    bundle = Bundle.load(folder)
    shape = bundle.architecture.input_shape
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(
            f"bundle: the page shows pictures of 1 or 3 channels; this network takes inputs of {list(shape)}"
        )
    segments = [segment_file(segment) for segment in range(len(bundle.architecture.exit_costs))]
    files = {name: bundle.file(name) for name in (ARCHITECTURE, POLICY, *segments)}
    pictures, labels = test_data(bundle, settings, count)

    add_onnxruntime(out / "ort")  # first, for it may fail
    (out / "onnx").mkdir()
    for name, path in {**files, **{name: HERE / name for name in PAGE}}.items():
        shutil.copyfile(path, out / name)
    (out / "pictures.bin").write_bytes(pictures.astype("<f4").tobytes())
    write_json(out / "pictures.json", {"shape": list(pictures.shape), "classes": labels.tolist()})


def add_onnxruntime(folder: Path) -> None:
    """Write onnxruntime-web to ``folder``, by npm, which compares checksums; ``ValueError`` where that is not possible."""
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(f"npm: it is not installed, and {ONNXRUNTIME} comes from there; it is a part of Node.js")
    with TemporaryDirectory() as place:
        command = [npm, "pack", ONNXRUNTIME, "--prefer-offline", "--silent", "--pack-destination", place]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(
                f"npm: {ONNXRUNTIME} cannot be had: {' '.join((done.stderr or done.stdout).split())[:300]}"
            )
        folder.mkdir(parents=True)
        with tarfile.open(next(Path(place).glob("*.tgz"))) as package:
            for name in DIST:
                content = package.extractfile(f"package/dist/{name}")
                assert content is not None  # it is a file
                (folder / name).write_bytes(content.read())


if __name__ == "__main__":
    main()
