from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from images import class_folders, save
from nfs import ON_NFS
from nni_earlyexit import data
from nni_earlyexit.data import cache
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.utils.files import claimed

SHAPE = (3, 8, 8)
BUILD = """
import sys
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.sources import folder
from nni_earlyexit.utils.errors import exits_with_one_sentence
from nni_earlyexit.utils.progress import say
{before}

@exits_with_one_sentence
def main():
    print(len(folder.read(DataSettings("folder:" + sys.argv[1], (3, 8, 8)), sys.argv[1], say).inputs))

main()
"""
"""A program that needs an entry, without the seconds that torch takes."""


@pytest.fixture
def folder(tmp_path):
    return class_folders(tmp_path / "images")


def load(folder, **options):
    said = []
    task = data.load_settings(DataSettings(f"folder:{folder}", SHAPE, **options), 0, said.append)
    return task, said


def build(folder, before="", **environment):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", BUILD.format(before=before), str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def entry(cache_folder):
    (only,) = cache_folder.iterdir()
    return only


def test_images_are_decoded_once_and_mapped_afterwards(folder, cache_folder):
    first, said = load(folder)
    assert said[0] == (f"decodes 40 images of {folder} to 3x8x8: 7.68 kB in {cache_folder}, kept for the next time")
    assert said[1].startswith("decoded 40 images in ")
    assert sorted(path.name for path in entry(cache_folder).iterdir()) == [
        "images.npy", "index.json", "labels.npy", "splits.npy", "sums.npy",
    ]  # fmt: skip
    again, said = load(folder)
    assert said == []
    assert torch.equal(again.train.x, first.train.x)
    assert isinstance(again.train._inputs.array, np.memmap)
    assert not again.train._inputs.array.flags.writeable
    listed = data.load(f"folder:{folder}", input_shape=list(SHAPE))
    assert isinstance(listed.train._inputs.array, np.memmap)


def change_content(folder):
    save(folder / "cat" / "000.png", 77)


def add_file(folder):
    save(folder / "cat" / "extra.png", 77)


def rename(folder):
    (folder / "cat" / "000.png").rename(folder / "cat" / "zzz.png")


def move_to_another_class(folder):
    (folder / "cat" / "000.png").rename(folder / "dog" / "zzz.png")


def change_content_at_the_same_time(folder):
    path = folder / "cat" / "000.png"
    before = path.stat()
    content = bytearray(path.read_bytes())
    path.write_bytes((folder / "cat" / "001.png").read_bytes()[: len(content)].ljust(len(content)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change", [change_content, add_file, rename, move_to_another_class, change_content_at_the_same_time]
)
def test_other_files_are_another_entry(folder, cache_folder, change):
    load(folder)
    change(folder)
    load(folder, skip_unreadable=True)
    assert len(list(cache_folder.iterdir())) == 2


def test_a_copy_of_the_same_files_shares_the_entry(folder, tmp_path, cache_folder):
    load(folder)
    subprocess.run(["cp", "-a", str(folder), str(tmp_path / "copy")], check=True)
    assert load(tmp_path / "copy")[1] == []


def another_format(place):
    index = json.loads((place / "index.json").read_text())
    (place / "index.json").write_text(json.dumps({**index, "format": 0}))


def truncated(place):
    os.truncate(place / "images.npy", 1000)


def without_index(place):
    (place / "index.json").unlink()


def damaged_index(place):
    (place / "index.json").write_text("{")


def of_other_images(place):
    np.save(place / "labels.npy", np.zeros(3, dtype=np.int64))


def turned_bit(place):
    content = bytearray((place / "labels.npy").read_bytes())
    content[-8] ^= 1  # of the last label
    (place / "labels.npy").write_bytes(content)


def turned_pixel(place):
    content = bytearray((place / "images.npy").read_bytes())
    content[-100] ^= 16
    (place / "images.npy").write_bytes(content)


def turned_header(place):
    content = bytearray((place / "images.npy").read_bytes())
    content[9] ^= 4  # a length by which numpy's own reader ends in the middle of a statement
    (place / "images.npy").write_bytes(content)


def pickled(place):
    np.save(place / "labels.npy", np.array([object()] * 40), allow_pickle=True)


@pytest.mark.parametrize(
    "damage",
    [
        another_format,
        truncated,
        without_index,
        damaged_index,
        of_other_images,
        turned_bit,
        turned_pixel,
        turned_header,
        pickled,
    ],
)
def test_an_entry_that_is_not_whole_is_made_again_with_a_word(folder, cache_folder, damage):
    first = load(folder)[0].train.x
    damage(entry(cache_folder))
    again, said = load(folder)
    assert said[0].startswith(f"the cached images in {entry(cache_folder)} cannot be used and are made again: ")
    assert said[1].startswith("decodes 40 images")
    assert torch.equal(again.train.x, first)
    assert load(folder)[1] == []


def test_what_a_killed_process_left_is_not_used(folder, cache_folder):
    before = "import os, signal\nfrom nni_earlyexit.data import cache\n"
    before += "cache.write_json = lambda *a: os.kill(os.getpid(), signal.SIGKILL)"
    killed = build(folder, before)
    assert killed.wait() == -9
    assert entry(cache_folder).name.endswith(".part")
    _, said = load(folder)
    assert said[0].startswith("decodes 40 images")
    assert not entry(cache_folder).name.endswith(".part")


@pytest.mark.parametrize("file_system", ["", ON_NFS])
def test_one_process_decodes_and_the_others_wait_and_say_so(folder, cache_folder, tmp_path, file_system):
    go = tmp_path / "go"
    slow = (
        f"{file_system}import os, time\nfrom nni_earlyexit.data import decoding\ndecode = decoding.decoded\n"
        f"def decoded(*a):\n    while not os.path.exists({str(go)!r}): time.sleep(0.01)\n    return decode(*a)\n"
        "decoding.decoded = decoded"
    )
    processes = [build(folder, slow) for _ in range(3)]
    first = sorted(process.stdout.readline() for process in processes)
    go.touch()
    outputs = [process.communicate() for process in processes]
    assert first[0].startswith("decodes 40 images")
    assert first[1:] == [f"waits for another process that decodes the images of {folder}\n"] * 2
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert {said.splitlines()[-1] for said, _ in outputs} == {"40"}
    assert sum("decoded 40 images" in said for said, _ in outputs) == 1
    assert not entry(cache_folder).name.startswith(".")
    cache.clear()
    assert list(cache_folder.iterdir()) == []


def test_one_that_waited_decodes_itself_where_the_first_one_failed(folder, cache_folder):
    load(folder)
    name = entry(cache_folder).name
    cache.clear()
    work = cache_folder / f".{name}.part"
    work.mkdir()
    said, results = [], []

    def other():
        results.append(data.load_settings(DataSettings(f"folder:{folder}", SHAPE), 0, said.append))

    with claimed(work):
        waiting = threading.Thread(target=other)
        waiting.start()
        while not said:
            time.sleep(0.01)
        assert said == [f"waits for another process that decodes the images of {folder}"]
        work.rmdir()  # as one that fails does
    waiting.join()
    assert said[1].startswith("decodes 40 images")
    assert len(results) == 1


FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))"


def test_a_full_disk_is_one_sentence_with_the_folder_and_the_bytes(folder, cache_folder):
    process = build(folder, FULL)
    _, error = process.communicate()
    assert process.returncode == 1
    assert error == (
        f"nni-earlyexit: cache: '{cache_folder}' cannot hold 40 images of 3x8x8, 7.68 kB: File too large; "
        "NNI_EARLYEXIT_CACHE names another folder, and a lower cache_limit does without\n"
    )
    assert list(cache_folder.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 100 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_too_small_is_seen_before_anything_is_decoded(folder, small_disk):
    process = build(folder, "", NNI_EARLYEXIT_CACHE=str(small_disk))
    assert process.communicate()[1] == ""
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILD.replace("8, 8", "64, 64").format(before=""), str(folder)],
        env={**os.environ, "NNI_EARLYEXIT_CACHE": str(small_disk)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.startswith(f"nni-earlyexit: cache: '{small_disk}' has ")
    assert "free, and 40 images of 3x64x64 need 492 kB; NNI_EARLYEXIT_CACHE names another folder" in process.stderr
    assert len(list(small_disk.iterdir())) == 1


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_half_written(folder, small_disk):
    promise = "import shutil, collections\nshutil.disk_usage = lambda path: collections.namedtuple('U', 'free')(10**12)"
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILD.replace("8, 8", "64, 64").format(before=promise), str(folder)],
        env={**os.environ, "NNI_EARLYEXIT_CACHE": str(small_disk)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 1
    assert f"cache: '{small_disk}' cannot hold 40 images of 3x64x64, 492 kB: No space left on device" in process.stderr
    assert list(small_disk.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_one_sentence(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NNI_EARLYEXIT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match=r"^cache: '.*' cannot be written to: Not a directory; NNI_EARLYEXIT_CACHE names"):
        load(folder)


def test_the_folder_is_that_of_the_variables(monkeypatch):
    monkeypatch.delenv("NNI_EARLYEXIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache.folder() == Path("/x/nni-earlyexit/data")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert cache.folder() == Path("/h/.cache/nni-earlyexit/data")


def test_clearing_removes_what_the_cache_made_and_nothing_else(folder, cache_folder):
    load(folder)
    load(folder)
    mine = entry(cache_folder)
    size = sum(path.stat().st_size for path in mine.iterdir())
    (cache_folder / "notes").mkdir()
    (cache_folder / "notes" / "index.json").touch()
    (cache_folder / "file").touch()
    assert cache.clear(older_than_s=60) == (0, 0)
    os.utime(mine / "index.json", (0, 0))
    assert cache.clear(older_than_s=60) == (1, size)
    assert sorted(path.name for path in cache_folder.rglob("*")) == ["file", "index.json", "notes"]
    load(folder)
    (mine / "own.txt").touch()
    assert cache.clear()[0] == 0
    assert [path.name for path in mine.iterdir()] == ["own.txt"]


def test_an_entry_that_is_being_made_is_not_cleared(folder, cache_folder):
    load(folder)
    work = cache_folder / f".{entry(cache_folder).name}.part"
    work.mkdir()
    (work / "images.npy").touch()
    with claimed(work):
        cache.clear()
        assert (work / "images.npy").exists()
    assert cache.clear() == (1, 0)
    assert list(cache_folder.iterdir()) == []
