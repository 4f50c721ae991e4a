from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit import data

PARTS = ("train", "validation", "calibration", "test")


def lines(n, labels=("0", "1"), word="w"):
    return "".join(f"{word}{i} is a film{'' if i % 3 else ' indeed'}\t{labels[i % len(labels)]}\n" for i in range(n))


def test_a_file_is_split_by_the_seed(tmp_path):
    (tmp_path / "reviews.tsv").write_text(lines(200))
    task = data.load(f"tsv:{tmp_path / 'reviews.tsv'}", tokens=8)
    assert sum(len(getattr(task, part)) for part in PARTS) == 200
    assert (task.input_shape, task.num_classes, task.class_names) == ((8,), 2, ("0", "1"))
    # one word of each sentence stands in no other one, so only those of the training split have an id
    ids = task.test.x[:, 0]
    assert (ids == 1).all()
    assert (task.train.x[:, 0] > 1).all()


def test_a_folder_has_its_own_test_and_perhaps_validation_split(tmp_path):
    for name, n in (("train", 100), ("test", 10), ("dev", 6)):
        (tmp_path / f"{name}.tsv").write_text("sentence\tlabel\n" + lines(n, ("good", "bad"), name))
    task = data.load(f"tsv:{tmp_path}")
    assert (len(task.test), len(task.validation)) == (10, 6)
    assert task.class_names == ("bad", "good")
    assert task.validation.y.tolist() == [1, 0] * 3
    (tmp_path / "dev.tsv").unlink()
    task = data.load(f"tsv:{tmp_path}", validation_share=0.2)
    assert (len(task.test), len(task.validation)) == (10, 20)


def test_line_ends_of_windows_and_characters_within_a_line_are_no_sentences(tmp_path):
    file = tmp_path / "reviews.tsv"
    file.write_bytes(("\ufeff" + lines(100).replace("is a", "is\u2028a\x0b").replace("\n", "\r\n") + "\r\n").encode())
    raw = data.read_raw(data.DataSettings(f"tsv:{file}"))
    assert len(raw.sentences) == 100
    assert raw.sentences[1] == "w1 is\u2028a\x0b film"
    assert np.array_equal(raw.labels, np.arange(100) % 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a good one\t1\nno label\n", "line 2 of '.*' is no sentence, one tab and a label$"),
        ("a\tb\t1\n", "line 1 of '.*' is no sentence, one tab and a label$"),
        ("\t1\n", "line 1 of '.*' is no sentence, one tab and a label$"),
        (
            "a\t0\nb\tgood\n",
            "line 2 of '.*' has the label 'good', which is not possible; integers like the '0' of line 1",
        ),
        ("a\tgood\n\nb\t1\n", "line 3 of '.*' has the label '1', which is not possible; words are$"),
        ("a\t0.5\nb\t1\n", "line 1 of '.*' has the label '0.5', which is not possible; words are$"),
        ("a\t1\nb\t2\n", "in '.*', labels run from 1 to 2 with 2 different ones; they must be 0 to 1$"),
        ("a\t-1\nb\t0\n", "in '.*', labels run from -1 to 0"),
        ("a\t1\nb\t01\n", "'.*' has 1 class; at least 2 are needed$"),
        ("\n\n", "'.*' holds no line with a sentence, a tab and a label$"),
        ("a\t0\nb\t1\n", "in '.*', class 0 has 1 inputs to be split, none of them for"),
    ],
)
def test_a_bad_line_is_named_with_its_file(tmp_path, text, sentence):
    (tmp_path / "reviews.tsv").write_text(text)
    with pytest.raises(ValueError, match=f"^data: {sentence}"):
        data.load(f"tsv:{tmp_path / 'reviews.tsv'}")


def test_a_label_that_training_sentences_lack_is_named(tmp_path):
    (tmp_path / "train.tsv").write_text(lines(100))
    (tmp_path / "test.tsv").write_text("a\t0\nb\t2\n")
    with pytest.raises(
        ValueError, match=r"^data: line 2 of '.*test.tsv' has the label '2', which the training sentences lack"
    ):
        data.load(f"tsv:{tmp_path}")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="^data: there is no file '.*none.tsv'$"):
        data.load(f"tsv:{tmp_path / 'none.tsv'}")
    (tmp_path / "train.tsv").write_text(lines(100))
    with pytest.raises(FileNotFoundError, match="^data: there is no file 'test.tsv' in the folder"):
        data.load(f"tsv:{tmp_path}")
