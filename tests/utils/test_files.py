from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from nfs import ON_NFS
from nni_earlyexit.utils import files

# Files of this process may have no more than so many bytes, as on a disk that is full.
FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    write = (
        "import sys, time; from pathlib import Path; from nni_earlyexit.utils import files\n"
        "def half(path): path.write_text('half'); print('written', flush=True); time.sleep(600)\n"
        "files.write_whole(Path(sys.argv[1]) / 'file.json', half)"
    )
    with subprocess.Popen([sys.executable, "-c", write, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "written\n"
        files.remove_parts(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [part_of(process.pid, "file.json")]
        process.kill()
        process.wait()
    (tmp_path / ".hidden").touch()
    files.remove_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".hidden"]
    files.remove_parts(tmp_path / "none")


def part_of(pid, name):
    """The name of the file that process ``pid`` of this machine writes first."""
    return files.beside(Path(name)).name.replace(f".{os.getpid()}.", f".{pid}.")


def test_what_a_process_elsewhere_writes_is_left_to_it_for_a_day(tmp_path, monkeypatch):
    here = tmp_path / part_of(2**22 + 1, "file.json")  # there is no such process
    monkeypatch.setattr(files, "_place_of_numbers", lambda: "0123abcd")
    there = tmp_path / part_of(2**22 + 1, "file.json")
    monkeypatch.undo()
    for path in (here, there):
        path.touch()
    files.remove_parts(tmp_path)
    assert list(tmp_path.iterdir()) == [there]
    os.utime(there, (0, time.time() - 25 * 3600))
    files.remove_parts(tmp_path)
    assert list(tmp_path.iterdir()) == []


CLAIM = """
import sys, time; from pathlib import Path; from nni_earlyexit.utils import files
with files.claimed(Path(sys.argv[1]), lambda: print("waits", flush=True)):
    print("has it", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("file_system", ["", ON_NFS])
def test_one_process_works_in_a_folder_and_others_wait_also_where_folders_cannot_be_locked(tmp_path, file_system):
    def claim():
        command = [sys.executable, "-c", file_system + CLAIM, str(tmp_path)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with claim() as first:
        assert first.stdout.readline() == "has it\n"
        with claim() as second:
            assert second.stdout.readline() == "waits\n"
            first.kill()
            assert second.stdout.readline() == "has it\n"
            second.communicate("done\n")
    assert [path.name for path in tmp_path.iterdir()] == ([files.LOCK] if file_system else [])


def test_an_error_of_the_disk_names_the_file_and_is_no_bad_input(tmp_path):
    code = (
        f"{FULL}from pathlib import Path; from nni_earlyexit.utils import errors, files\n"
        f"path = Path({str(tmp_path)!r}) / 'file.json'\n"
        "errors.exits_with_one_sentence(lambda: files.write_json(path, 'x' * 5000))()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == f"nni-earlyexit: {tmp_path / 'file.json'}: File too large\n"
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_text_or_no_json_is_named(tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(ValueError, match=f"field: '{path}' is not text in UTF-8: invalid start byte at byte 0"):
        files.read_json(path, "field")
    path.write_text("{")
    with pytest.raises(ValueError, match=f"field: '{path}' is not JSON"):
        files.read_json(path, "field")
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        files.read_json(path, "field")
    with pytest.raises(FileNotFoundError, match="field: there is no file"):
        files.read_json(tmp_path / "none", "field")


def test_arrays_are_read_and_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "a.npz"
    files.write_arrays(path, {"x": np.arange(1000)})
    assert files.read_arrays(path, "field")["x"].tolist() == list(range(1000))
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match=f"field: '{path}' is not an .npz file of plain arrays"):
        files.read_arrays(path, "field")


def test_the_checksum_of_a_folder_is_of_names_and_sizes(tmp_path):
    def made(name, content):
        for path, text in content.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
        return files.checksum_of_names(tmp_path / name)

    first = made("a", {"x/1": "one", "y/2": "two"})
    assert made("b", {"y/2": "owt", "x/1": "eno"}) == first
    assert made("c", {"x/1": "one", "y/3": "two"}) != first
    assert made("d", {"x/1": "one", "y/2": "three"}) != first
    assert made("e", {"x/1": "one"}) != first
