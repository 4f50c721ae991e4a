from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from images import class_folders, pixels, save, truncate
from nni_earlyexit import data
from nni_earlyexit.data import images as images_module
from nni_earlyexit.data.settings import DataSettings
from nni_earlyexit.data.splits import STREAMED, cut
from PIL import Image

PARTS = ("train", "validation", "calibration", "test")
STREAM = {"cache_limit": 1}


@pytest.fixture
def folder(tmp_path):
    return class_folders(tmp_path / "images")


@pytest.fixture
def split_folder(tmp_path):
    for seed, part in enumerate(("train", "val", "test")):
        class_folders(tmp_path / "images" / part, count=25 if part == "train" else 4, seed=seed)
    return tmp_path / "images"


def rows(split):
    return split.raw(slice(None)).flatten(1)


def test_class_folders_are_split_by_the_seed_and_keep_their_names(folder):
    images = data.load(f"folder:{folder}")
    assert images.class_names == ("cat", "dog")
    assert images.input_shape == (3, 8, 8)
    assert sum(len(getattr(images, part)) for part in PARTS) == 40
    assert images.train.y.dtype == torch.int64
    assert images.preprocessing.pixels
    for part in PARTS:
        split = getattr(images, part)
        for x, y in zip(split.raw(slice(None)), split.y, strict=True):
            assert any(np.array_equal(x.permute(1, 2, 0), pixels((0, int(y), i))) for i in range(20))


def test_val_and_test_are_the_validation_and_the_test_split(split_folder):
    images = data.load(f"folder:{split_folder}")
    assert (len(images.validation), len(images.test)) == (8, 8)
    assert np.array_equal(images.validation.raw([0])[0].permute(1, 2, 0), pixels((1, 0, 0)))
    assert np.array_equal(images.test.raw([7])[0].permute(1, 2, 0), pixels((2, 1, 3)))
    assert images.test.y.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("Train", "Valid", "Test"), ("training", "validation", "testing"), ("TRAIN", "dev", "test")],
)
def test_other_names_of_the_splits_mean_the_same_and_other_folders_are_said(split_folder, capsys, train, val, test):
    wanted = data.load(f"folder:{split_folder}")
    for before, after in (("train", train), ("val", val), ("test", test)):
        (split_folder / before).rename(split_folder / after)
    (split_folder / "unlabelled").mkdir()
    said = []
    images = data.load_settings(DataSettings(f"folder:{split_folder}"), 0, said.append)
    assert images.class_names == wanted.class_names
    for part in PARTS:
        assert torch.equal(rows(getattr(images, part)), rows(getattr(wanted, part)))
    assert f"folders of {split_folder} that are no split are left out: unlabelled" in said
    class_folders(split_folder / test.swapcase(), count=1)
    with pytest.raises(ValueError, match=r"/ and .*/, which mean the same split; one is needed$"):
        data.load(f"folder:{split_folder}")


def test_a_test_split_without_classes_is_no_test_split(split_folder):
    for file in (split_folder / "test").rglob("*.png"):
        file.rename(split_folder / "test" / f"{file.parent.name}{file.name}")
    for name in ("cat", "dog"):
        (split_folder / "test" / name).rmdir()
    with pytest.raises(ValueError, match="has no folders of classes in test/; one for each class is needed"):
        data.load(f"folder:{split_folder}")


def test_classes_may_have_the_other_names_of_splits(tmp_path):
    folder = class_folders(tmp_path / "images")
    for before, after in (("cat", "valid"), ("dog", "invalid")):
        (folder / before).rename(folder / after)
    assert data.load(f"folder:{folder}").class_names == ("invalid", "valid")


@pytest.mark.parametrize("left", ["val", "test"])
def test_a_held_out_folder_alone_is_the_test_split(split_folder, left):
    shutil.rmtree(split_folder / {"val": "test", "test": "val"}[left])
    images = data.load(f"folder:{split_folder}")
    assert len(images.test) == 8
    assert len(images.train) + len(images.validation) + len(images.calibration) == 50
    assert np.array_equal(images.test.raw([0])[0].permute(1, 2, 0), pixels((1 if left == "val" else 2, 0, 0)))


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_splits_from_the_cache_and_streamed(split_folder, folder, seed):
    kept = data.load(f"folder:{folder}", seed)
    again = data.load(f"folder:{folder}", seed)
    streamed = data.load(f"folder:{folder}", seed, **STREAM)
    for part in PARTS:
        ours = getattr(kept, part)
        for other in (getattr(again, part), getattr(streamed, part)):
            assert np.array_equal(ours.positions, other.positions)
            assert torch.equal(ours.y, other.y)
            assert torch.equal(rows(ours), rows(other))
            assert torch.allclose(ours.x, other.x, atol=1e-4)
        assert streamed.train.streams
        assert not ours.streams
    assert np.allclose(kept.preprocessing.mean, streamed.preprocessing.mean)
    assert np.allclose(kept.preprocessing.std, streamed.preprocessing.std)


@pytest.mark.parametrize("options", [{}, STREAM])
def test_the_mean_is_that_of_the_training_images_alone(split_folder, options):
    before = data.load(f"folder:{split_folder}", **options)
    train = before.train.raw(slice(None)).double() / 255
    assert np.allclose(before.preprocessing.mean, train.mean(dim=(0, 2, 3)), atol=1e-6)
    assert np.allclose(before.preprocessing.std, train.std(dim=(0, 2, 3), correction=0), atol=1e-6)
    for file in (split_folder / "test").rglob("*.png"):
        Image.new("RGB", (8, 8), "white").save(file)
    after = data.load(f"folder:{split_folder}", **options)
    assert after.test.raw([0]).min() == 255
    assert after.preprocessing.mean == before.preprocessing.mean


class Counted:
    """Inputs that note the positions that are read."""

    def __init__(self, count):
        self.input_shape, self.streams, self.sums, self.count, self.positions = (1, 2, 2), True, None, count, []

    def __len__(self):
        return self.count

    def read(self, positions):
        self.positions += np.asarray(positions).tolist()
        values = torch.from_numpy(np.asarray(positions) % 256).to(torch.uint8)
        return values[:, None, None, None].expand(-1, 1, 2, 2)


def test_the_mean_of_many_streamed_images_is_that_of_some_of_the_training_split_that_the_seed_chooses():
    inputs = Counted(10_000)
    raw = data.Raw(inputs, np.arange(10_000) % 2, official={"test": np.arange(8_000, 10_000)}, pixels=True)
    task = cut("own", raw, DataSettings(), seed=3)
    assert STREAMED <= len(inputs.positions) <= STREAMED + 1
    assert set(inputs.positions) <= set(task.train.positions.tolist())
    assert task.preprocessing.mean[0] == pytest.approx(0.5, abs=0.02)
    assert cut("own", raw, DataSettings(), seed=3).preprocessing == task.preprocessing


def test_images_are_found_in_any_depth_and_spelling_and_hidden_files_are_not(tmp_path):
    folder = class_folders(tmp_path / "images", ending="JPG")
    save(folder / "cat" / "deeper" / "still" / "x.Jpeg", 99)
    (folder / "cat" / "._000.jpg").write_text("no image")
    (folder / "cat" / "notes.txt").write_text("no image")
    (folder / ".ipynb_checkpoints").mkdir()
    images = data.load(f"folder:{folder}")
    assert images.num_classes == 2
    assert sum(len(getattr(images, part)) for part in PARTS) == 41


def test_images_of_different_sizes_need_a_shape_and_the_sentence_says_one(folder):
    save(folder / "cat" / "large.png", 5, (90, 300))
    for i in range(25):
        save(folder / "dog" / f"larger{i}.png", (6, i), (70, 64))
    sentence = r"^input_shape: .* differ in size, from 8x8 to 90x300; .* such as --input-shape 3 \d+ \d+$"
    with pytest.raises(ValueError, match=sentence):
        data.load(f"folder:{folder}")
    images = data.load(f"folder:{folder}", input_shape=(3, 12, 10))
    assert images.train.x.shape[1:] == (3, 12, 10)


def test_what_looking_at_every_image_found_is_remembered_for_these_files(folder, monkeypatch, cache_folder):
    first = data.load(f"folder:{folder}", skip_unreadable=True, **STREAM)
    assert sorted(path.name.rpartition("-")[2] for path in cache_folder.iterdir()) == ["shape", "unreadable"]
    monkeypatch.setattr(images_module, "sizes", lambda *a: pytest.fail("the images were looked at again"))
    monkeypatch.setattr(images_module, "_blocks", lambda *a, **k: pytest.fail("the images were decoded again"))
    again = data.load(f"folder:{folder}", skip_unreadable=True, **STREAM)
    assert again.input_shape == first.input_shape == (3, 8, 8)
    monkeypatch.undo()
    monkeypatch.setenv("NNI_EARLYEXIT_CACHE", str(cache_folder / "index.json" / "no folder"))
    assert data.load(f"folder:{folder}", skip_unreadable=True, **STREAM).input_shape == (3, 8, 8)


def test_grey_images_are_grey_where_the_network_wants_it_or_all_are(folder, tmp_path):
    assert data.load(f"folder:{folder}", input_shape=(1, 8, 8)).train.x.shape[1:] == (1, 8, 8)
    for file in folder.rglob("*.png"):
        Image.open(file).convert("L").save(file)
    assert data.load(f"folder:{folder}").input_shape == (1, 8, 8)
    x = data.load(f"folder:{folder}", input_shape=(3, 8, 8)).train.raw(slice(None))
    assert torch.equal(x[:, 0], x[:, 2])


@pytest.mark.parametrize("options", [{}, STREAM])
def test_an_unreadable_image_ends_it_or_is_left_out_with_a_note(folder, options):
    truncate(folder / "dog" / "005.png")
    (folder / "dog" / "006.png").write_text("no image")
    name = str(folder / "dog" / "005.png")

    def load(**more):
        task = data.load(f"folder:{folder}", input_shape=(3, 8, 8), **options, **more)
        for part in PARTS:
            getattr(task, part).raw(slice(None))
        return task

    with pytest.raises(ValueError, match=f"^data: the image '{name}' cannot be read"):
        load()
    for _ in range(2):  # the second time from the cache
        images = load(skip_unreadable=True)
        assert images.notes[0].startswith(f"2 images could not be read and are left out; data: the image '{name}'")
        assert sum(len(getattr(images, part)) for part in PARTS) == 38
        assert sum(int(getattr(images, part).y.sum()) for part in PARTS) == 18
    with pytest.raises(ValueError, match=f"^data: the image '{name}' cannot be read"):
        load()


@pytest.mark.parametrize("options", [{}, STREAM])
@pytest.mark.parametrize(
    ("classes", "sentence"),
    [(("dog",), "'dog' has no training inputs"), (("cat", "dog"), "none of the 40|'cat' has no")],
)
def test_a_class_of_unreadable_images_alone_is_named(folder, classes, sentence, options):
    for name in classes:
        for file in (folder / name).iterdir():
            file.write_text("no image")
    with pytest.raises(ValueError, match=f"^data: .*({sentence})"):
        data.load(f"folder:{folder}", input_shape=(3, 8, 8), skip_unreadable=True, **options)


def test_an_unreadable_image_in_a_worker_is_one_sentence(folder):
    truncate(folder / "dog" / "005.png")
    images = data.load(f"folder:{folder}", input_shape=(3, 8, 8), mean=(0, 0, 0), std=(1, 1, 1), **STREAM)
    (part,) = [part for part in PARTS if 25 in getattr(images, part).positions]
    batches = data.batches(getattr(images, part), 8, shuffle=False, workers=1)
    with pytest.raises(ValueError, match=r"^data: the image '.*005.png' cannot be read: [^\n]*$"):
        list(batches)


def test_batches_of_workers_and_parts_are_the_same_images(folder):
    kept = data.load(f"folder:{folder}")
    streamed = data.load(f"folder:{folder}", **STREAM)
    ours = [x for x, _ in data.batches(kept.train, 8, shuffle=True, seed=1)]
    theirs = [x for x, _ in data.batches(streamed.train, 8, shuffle=True, seed=1, workers=2)]
    assert torch.allclose(torch.cat(ours), torch.cat(theirs), atol=1e-4)
    assert torch.allclose(torch.cat(list(streamed.test.parts())), kept.test.x, atol=1e-4)
    assert [data.readers(task.train, workers) for task in (kept, streamed) for workers in (3, None)] == [
        0, 0, 3, torch.get_num_threads(),
    ]  # fmt: skip


def empty_class(folder):
    (folder / "bird").mkdir()


def one_class(folder):
    shutil.rmtree(folder / "dog")


def no_classes(folder):
    for name in ("cat", "dog"):
        shutil.rmtree(folder / name)


def strange_class(folder):
    for part in ("train", "test"):
        class_folders(folder / part)
    save(folder / "test" / "bird" / "0.png", 0)


def empty_test_class(folder):
    for part in ("train", "test"):
        class_folders(folder / part)
    shutil.rmtree(folder / "test" / "dog")
    (folder / "test" / "dog").mkdir()


def no_test(folder):
    class_folders(folder / "train")


def no_train(folder):
    class_folders(folder / "test")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (empty_class, "has no images of class 'bird'; files that end with .jpg, .*.webp are images$"),
        (one_class, "has 1 class; a folder for each of at least 2 classes is needed$"),
        (no_classes, "has 0 classes; a folder for each of at least 2 classes is needed$"),
        (strange_class, "has the class 'bird' in test/, which train/ lacks$"),
        (empty_test_class, "has no images of class 'test/dog'"),
        (no_test, "has train/ and neither test/ nor val/ beside it; folder:.*train is split by the seed$"),
        (no_train, "has test/ without train/ beside it; both are needed$"),
    ],
)
def test_classes_that_cannot_be_learned_get_one_sentence(folder, change, sentence):
    change(folder)
    with pytest.raises(ValueError, match=f"^data: '{folder}' {sentence}"):
        data.load(f"folder:{folder}")


@pytest.mark.parametrize("where", ["round", "cat/round", "cat/deep/round"])
def test_a_link_to_a_folder_above_it_is_named_before_it_is_followed_for_ever(folder, where):
    link = folder / where
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(folder)
    (folder / "cat" / "again").symlink_to(folder)  # which would be twice as many at each step
    with pytest.raises(ValueError, match=r"^data: '.*(round|again)' is a link to a folder that it is in; remove it$"):
        data.load(f"folder:{folder}")


def test_a_link_to_itself_is_one_sentence(folder):
    (folder / "cat" / "itself.png").symlink_to(folder / "cat" / "itself.png")
    with pytest.raises(ValueError, match=r"^data: '.*cat' cannot be read: Too many levels of symbolic links$"):
        data.load(f"folder:{folder}")


def test_a_link_to_a_folder_elsewhere_is_followed(folder, tmp_path):
    (folder / "dog").rename(tmp_path / "elsewhere")
    (folder / "dog").symlink_to(tmp_path / "elsewhere")
    assert len(data.load(f"folder:{folder}").class_names) == 2


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"^data: there is no folder '{tmp_path / 'none'}'$"):
        data.load(f"folder:{tmp_path / 'none'}")


@pytest.mark.parametrize("shape", [(2, 8, 8), (8,)])
def test_a_shape_that_no_image_can_have_is_refused(folder, shape):
    with pytest.raises(
        ValueError, match=r"^input_shape: .* is not possible; channels \(1 or 3\), height and width are"
    ):
        data.load(f"folder:{folder}", input_shape=shape)


def test_statistics_that_are_given_have_one_number_per_channel(folder):
    with pytest.raises(ValueError, match=r"^mean: \[0.5\] is not possible; 3, one per channel, are"):
        data.load(f"folder:{folder}", mean=(0.5,), std=(0.5,))
    given = data.load(f"folder:{folder}", mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    assert given.preprocessing.mean == (0.5, 0.5, 0.5)
