"""What results say that they were made with."""

from __future__ import annotations

from nni_earlyexit.utils.provenance import graphics, made_with


def test_the_machine_and_the_versions_are_named():
    made = made_with()
    assert made["processor"].endswith(" cores")
    assert {"python", "torch", "nni", "system"} <= made.keys()


def test_graphics_are_named_as_the_driver_names_them(tmp_path):
    assert graphics(tmp_path / "none") == ""
    for place, model in (
        ("0000:01:00.0", "NVIDIA H200"),
        ("0000:02:00.0", "NVIDIA H200"),
        ("0000:03:00.0", "NVIDIA T4"),
    ):
        (tmp_path / place).mkdir()
        (tmp_path / place / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 0\nGPU UUID: \t GPU-1\n")
    (tmp_path / "0000:04:00.0").mkdir()
    assert graphics(tmp_path) == "2 x NVIDIA H200, 1 x NVIDIA T4"
