from __future__ import annotations

import numpy as np
import pytest
from nni_earlyexit.data import inspection
from nni_earlyexit.data.raw import ArrayInputs, Raw
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.splits import cut

TRAIN, TEST = 400, 40


def inspected(change=lambda x, y: None, names=("cat", "dog"), official=True):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (TRAIN + TEST, 4, 4, 3), dtype=np.uint8), np.arange(TRAIN + TEST) % 2
    change(x, y)
    split = {"test": np.arange(TRAIN, TRAIN + TEST)} if official else {}
    raw = Raw(ArrayInputs(x, channels_last=True), y.astype(np.int64), names, split, pixels=True)
    return inspection.inspect(raw, cut("own", raw, DataSettings(), seed=0))


def test_good_data_have_their_counts_and_nothing_suspicious():
    findings = inspected()
    assert findings.suspicious == ()
    assert {part: counts.tolist() for part, counts in findings.counts.items()} == {
        "train": [180, 180], "validation": [10, 10], "calibration": [10, 10], "test": [20, 20],
    }  # fmt: skip


def test_a_test_input_that_training_has_too_is_named():
    def leak(x, y):
        x[TRAIN + 2] = x[0]
        x[TRAIN + 4] = x[2]

    (sentence,) = inspected(leak).suspicious
    assert sentence == "2 inputs are in test that training has too, such as input 402 and input 0"


def test_equal_inputs_of_different_classes_are_named():
    def contradict(x, y):
        x[11] = x[10]

    sentences = [sentence for sentence in inspected(contradict).suspicious if "classes" in sentence]
    assert sentences == ["1 input is there with different classes, such as input 10 and input 11"]


def test_images_of_one_colour_are_named_and_a_coloured_plane_is_one():
    def paint(x, y):
        x[5] = 7
        x[6] = [1, 2, 3]
        x[7, ..., 0] = 9  # only one channel is flat

    (sentence,) = inspected(paint).suspicious
    assert sentence == "2 inputs are one colour only, such as input 5"


def test_unequal_and_tiny_classes_are_named():
    def shrink(x, y):
        y[:] = 0
        y[::25] = 1

    unequal, tiny = inspected(shrink, official=False).suspicious
    assert unequal.startswith("the classes are very unequal: ")
    assert tiny == "1 class has fewer than 20 training inputs; 'dog' has 10"


def test_a_class_that_the_test_split_lacks_is_named():
    def drop(x, y):
        y[TRAIN:] = 0

    assert inspected(drop).suspicious == ("test has no inputs of 1 classes, such as 'dog'",)


def test_sentences_are_compared_as_they_are_and_not_by_the_words_that_are_kept():
    sentences = [f"a film like no {i} other" for i in range(100)] + ["seen before", "seen again", "seen before"]
    raw = Raw(None, np.arange(103) % 2, official={"test": np.array([101, 102])}, sentences=sentences)
    settings = DataSettings("digits", vocabulary=3, tokens=2)
    task = cut("own", raw, settings, seed=0)
    for sentence in inspection.inspect(raw, task).suspicious:
        assert "with different classes" not in sentence
    leaks = [s for s in inspection.inspect(raw, task).suspicious if "training has too" in s]
    assert leaks in ([], ["1 input is in test that training has too, such as input 102 and input 100"])


def test_a_rate_is_positive(monkeypatch):
    monkeypatch.setattr(inspection, "RATE_S", 0.01)
    assert inspection.rate(ArrayInputs(np.zeros((100, 4, 4, 3), dtype=np.uint8), channels_last=True)) > 100


@pytest.mark.parametrize("images", [np.zeros((2, 3), dtype=np.int64), np.zeros((2, 3), dtype=np.float32)])
def test_what_is_no_image_has_no_colour(images):
    raw = Raw(ArrayInputs(images), np.arange(2))
    assert len(inspection._looked_through(raw)[1]) == 0
