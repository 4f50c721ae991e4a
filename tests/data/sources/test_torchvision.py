"""torchvision's own classes on files in their formats that the tests make."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import pickle
import struct
import threading

import numpy as np
import pytest
import torch
from images import class_folders
from nni_earlyexit import data
from nni_earlyexit.data.outline import outline
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.sources._torchvision import WholeSet
from scipy.io import savemat
from torchvision import datasets

TRAIN, TEST = 200, 30


def arrays(channels_first, n, seed):
    rng = np.random.default_rng(seed)
    shape = (n, *channels_first)
    return rng.integers(0, 256, shape, dtype=np.uint8), np.arange(n) % 10


def md5(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_pickles(folder, files, monkeypatch, cls, meta):
    """Files of CIFAR; torchvision compares their checksums with those of the published files, here with those of these."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(pickle.dumps(content))
    sums = {name: md5(folder / name) for name in files}
    monkeypatch.setattr(cls, "train_list", [[name, sums[name]] for name, _ in cls.train_list])
    monkeypatch.setattr(cls, "test_list", [[name, sums[name]] for name, _ in cls.test_list])
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": sums[meta]})


def cifar10(root, monkeypatch):
    x, y = arrays((3, 32, 32), TRAIN, 0)
    x_test, y_test = arrays((3, 32, 32), TEST, 1)
    files = {f"data_batch_{i + 1}": {"data": x[i::5].reshape(-1, 3072), "labels": y[i::5].tolist()} for i in range(5)}
    order = np.concatenate([np.arange(i, TRAIN, 5) for i in range(5)])
    files["test_batch"] = {"data": x_test.reshape(-1, 3072), "labels": y_test.tolist()}
    files["batches.meta"] = {"label_names": [f"name{i}" for i in range(10)]}
    write_pickles(root / "cifar-10-batches-py", files, monkeypatch, datasets.CIFAR10, "batches.meta")
    return x[order], y[order], x_test, y_test


def cifar100(root, monkeypatch):
    x, y = arrays((3, 32, 32), TRAIN, 0)
    x_test, y_test = arrays((3, 32, 32), TEST, 1)
    files = {
        "train": {"data": x.reshape(-1, 3072), "fine_labels": y.tolist(), "coarse_labels": (y // 2).tolist()},
        "test": {"data": x_test.reshape(-1, 3072), "fine_labels": y_test.tolist(), "coarse_labels": y_test.tolist()},
        "meta": {"fine_label_names": [f"name{i}" for i in range(10)]},
    }
    write_pickles(root / "cifar-100-python", files, monkeypatch, datasets.CIFAR100, "meta")
    return x, y, x_test, y_test


def svhn(root, monkeypatch):
    every = []
    root.mkdir(parents=True)
    for split, n in (("train", TRAIN), ("test", TEST)):
        x, y = arrays((3, 32, 32), n, n)
        name = f"{split}_32x32.mat"
        labels = np.where(y == 0, 10, y)[:, None].astype(np.uint8)  # as the published files call the digit 0
        savemat(root / name, {"X": x.transpose(2, 3, 1, 0), "y": labels})
        url = datasets.SVHN.split_list[split][0]
        monkeypatch.setitem(datasets.SVHN.split_list, split, [url, name, md5(root / name)])
        every += [x, y]
    return every


def fashion_mnist(root, monkeypatch):
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    every = []
    for part, n in (("train", TRAIN), ("t10k", TEST)):
        x, y = arrays((1, 28, 28), n, n)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, n, 28, 28) + x.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, n) + y.astype(np.uint8).tobytes())
        every += [x, y]
    return every


SETS = {"cifar10": cifar10, "cifar100": cifar100, "svhn": svhn, "fashion_mnist": fashion_mnist}


@pytest.fixture(params=SETS)
def made(request, tmp_path, monkeypatch):
    """A kind, the folder of its files, and what they hold."""
    root = tmp_path / "root"
    return request.param, root, SETS[request.param](root, monkeypatch)


def test_torchvisions_images_and_classes_arrive_with_their_test_split(made):
    kind, root, (x, y, x_test, y_test) = made
    task = data.load(kind, root=str(root))
    assert (len(task.test), task.num_classes, task.input_shape) == (TEST, 10, x.shape[1:])
    assert np.array_equal(task.test.raw(slice(None)), x_test)
    assert np.array_equal(task.test.y, y_test)
    for part in (task.train, task.validation, task.calibration):
        assert np.array_equal(part.raw(slice(None)), x[part.positions])
        assert np.array_equal(part.y, y[part.positions])
    assert task.train.y.dtype == torch.int64
    expected = {"svhn": "0", "fashion_mnist": "T-shirt/top"}.get(kind, "name0")
    assert task.class_names[0] == expected


def test_the_second_time_torchvision_is_not_asked_and_other_sizes_come_from_the_cache_too(
    made, monkeypatch, cache_folder
):
    kind, root, _ = made
    first = data.load(kind, root=str(root))
    monkeypatch.setattr(WholeSet, "_datasets", lambda *a, **k: pytest.fail("torchvision was asked again"))
    again = data.load(kind, root=str(root))
    assert torch.equal(again.train.x, first.train.x)
    larger = data.load(kind, root=str(root), input_shape=(3, 40, 40))
    assert larger.train.raw([0]).shape == (1, 3, 40, 40)
    assert len(list(cache_folder.iterdir())) == 2
    size = (TRAIN + TEST) * np.prod(first.input_shape)
    streamed = data.load(kind, root=str(root), input_shape=(3, 40, 40), cache_limit=size)
    assert streamed.train.streams
    assert not larger.train.streams
    assert torch.equal(streamed.test.raw(slice(None)), larger.test.raw(slice(None)))
    assert np.allclose(streamed.preprocessing.mean, larger.preprocessing.mean)


def test_files_that_were_changed_are_read_again(tmp_path, monkeypatch):
    root = tmp_path / "root"
    _, _, x_test, _ = fashion_mnist(root, monkeypatch)
    before = data.load("fashion_mnist", root=str(root))
    other = (255 - x_test).tobytes()
    (root / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte").write_bytes(
        struct.pack(">IIII", 2051, TEST, 28, 28) + other
    )
    after = data.load("fashion_mnist", root=str(root))
    assert torch.equal(after.test.raw(slice(None)), 255 - before.test.raw(slice(None)))


@pytest.mark.parametrize("kind", SETS)
def test_data_that_are_missing_get_a_sentence_that_says_what_helps(kind, tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        data.load(kind, root=str(tmp_path))
    assert str(error.value).startswith("root: there is no file '")
    assert f"in '{tmp_path}', which '{kind}' needs; --download lets torchvision get it" in str(error.value)


@pytest.mark.parametrize("kind", ["cifar10", "cifar100", "svhn"])
def test_files_that_are_not_the_published_ones_are_not_unpickled(kind, tmp_path, monkeypatch):
    root = tmp_path / "root"
    SETS[kind](root, monkeypatch)
    for file in root.rglob("*"):
        if file.is_file():
            file.write_bytes(pickle.dumps(pytest.fail))
    with pytest.raises(
        ValueError, match=f"^root: the files of '{kind}' in '.*' are damaged or others than torchvision"
    ):
        data.load(kind, root=str(root))


@pytest.mark.parametrize("kind", SETS)
def test_a_download_that_fails_is_one_sentence(kind, tmp_path, monkeypatch):
    nobody = "http://127.0.0.1:9/"  # a port where nothing listens
    monkeypatch.setattr(datasets.CIFAR10, "url", nobody)
    monkeypatch.setattr(datasets.CIFAR100, "url", nobody)
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [nobody])
    monkeypatch.setitem(datasets.SVHN.split_list, "train", [nobody, *datasets.SVHN.split_list["train"][1:]])
    with pytest.raises(OSError, match=f"^download: torchvision cannot get '{kind}': .*refused.*by hand$") as error:
        data.load(kind, root=str(tmp_path), download=True)
    assert "\n" not in str(error.value)


class SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


def test_a_download_from_a_server_on_this_machine_is_unpacked_and_read(tmp_path, monkeypatch):
    from nni_earlyexit.data.sources import fashion_mnist as source

    server = tmp_path / "server"
    fashion_mnist(server, monkeypatch)
    resources = []
    for name, _ in datasets.FashionMNIST.resources:
        raw = server / "FashionMNIST" / "raw" / name.removesuffix(".gz")
        (server / name).write_bytes(gzip.compress(raw.read_bytes()))
        resources.append((name, md5(server / name)))
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    handler = functools.partial(SilentHandler, directory=str(server))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [f"http://127.0.0.1:{web.server_port}/"])
        task = data.load("fashion_mnist", root=str(tmp_path / "new"), download=True)
        web.shutdown()
    assert len(task.test) == TEST
    assert all((tmp_path / "new" / name).is_file() for name in source.SET.files)


@pytest.fixture
def imagenet(tmp_path):
    root = tmp_path / "imagenet"
    class_folders(root / "train", ("n01", "n02"), count=30, size=(20, 30), ending="JPEG")
    class_folders(root / "val", ("n01", "n02"), count=3, size=(30, 20), seed=1, ending="JPEG")
    (root / "test").mkdir()  # of images without classes, which nobody can use
    torch.save(({"n01": ("tench", "Tinca tinca"), "n02": ("goldfish",)}, ["n01"] * 3 + ["n02"] * 3), root / "meta.bin")
    return root


@pytest.mark.parametrize("options", [{}, {"cache_limit": 1}])
def test_imagenet_is_what_torchvisions_class_reads(imagenet, options):
    task = data.load("imagenet", root=str(imagenet), input_shape=(3, 16, 16), **options)
    theirs = datasets.ImageNet(str(imagenet), split="val")
    assert task.class_names == tuple(names[0] for names in theirs.classes)
    assert task.test.y.tolist() == theirs.targets
    assert len(task.train) + len(task.validation) + len(task.calibration) == len(datasets.ImageNet(str(imagenet)))
    assert task.train.streams == bool(options)


def test_imagenet_that_is_missing_or_damaged_gets_one_sentence(imagenet):
    (imagenet / "meta.bin").write_bytes(pickle.dumps(pytest.fail, protocol=2))
    with pytest.raises(ValueError, match=r"^root: 'meta.bin' in .* is not what torchvision writes"):
        data.load("imagenet", root=str(imagenet), input_shape=(3, 16, 16))
    (imagenet / "meta.bin").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"^root: there is neither 'meta.bin' nor 'ILSVRC2012_devkit_t12.tar.gz'"
    ):
        data.load("imagenet", root=str(imagenet), input_shape=(3, 16, 16))
    (imagenet / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(b"something else")
    with pytest.raises(
        ValueError, match=r"^root: The archive ILSVRC2012_devkit_t12.tar.gz is not present .* or is corrupted"
    ):
        data.load("imagenet", root=str(imagenet), input_shape=(3, 16, 16))


def test_imagenet_in_archives_is_unpacked_before_it_is_listed(imagenet, monkeypatch):
    (imagenet / "train").rename(imagenet / "packed")
    (imagenet / "ILSVRC2012_img_train.tar").touch()
    asked = []

    class Unpacks:  # torchvision's class checks the archives' sums, which only image-net.org's have
        def __init__(self, root, split):
            asked.append(split)
            if split == "train":
                (imagenet / "packed").rename(imagenet / "train")

    monkeypatch.setattr(datasets, "ImageNet", Unpacks)
    assert outline(DataSettings("imagenet", root=str(imagenet))).num_classes == 2
    assert asked == ["train", "val"]
    assert not list(imagenet.glob(".*.unpacking"))


def test_imagenet_that_was_not_unpacked_to_its_end_is_not_used(imagenet, monkeypatch):
    (imagenet / "val").rename(imagenet / "packed")
    (imagenet / "ILSVRC2012_img_val.tar").touch()

    class IsKilled:
        def __init__(self, root, split):
            if split == "val":
                (imagenet / "val" / "n01").mkdir(parents=True)
                raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "ImageNet", IsKilled)
    settings = DataSettings("imagenet", root=str(imagenet))
    with pytest.raises(KeyboardInterrupt):
        outline(settings)
    with pytest.raises(ValueError, match="^root: the unpacking of '.*/val' was interrupted; remove it and"):
        outline(settings)


def test_colours_are_not_made_grey(tmp_path, monkeypatch):
    svhn(tmp_path / "root", monkeypatch)
    with pytest.raises(ValueError, match=r"^input_shape: \[1, 32, 32\] is not possible; 'svhn' has colours$"):
        data.load("svhn", root=str(tmp_path / "root"), input_shape=(1, 32, 32))
