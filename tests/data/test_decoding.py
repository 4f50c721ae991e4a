from __future__ import annotations

import numpy as np
import pytest
import torch
from images import pixels, truncate
from nni_earlyexit.data.decoding import UnreadableImage, decoded, header
from nni_earlyexit.nn.preprocessing import resized
from PIL import Image


@pytest.fixture
def path(tmp_path):
    return tmp_path / "image.png"


def test_pixels_of_the_right_size_stay_as_they_are(path):
    Image.fromarray(pixels(0)).save(path)
    assert np.array_equal(decoded(str(path), (3, 8, 8)), pixels(0))


@pytest.mark.parametrize(("size", "shape"), [((30, 20), (3, 8, 8)), ((9, 40), (3, 16, 12)), ((8, 8), (3, 20, 20))])
def test_an_image_file_is_resized_as_a_network_resizes_what_it_is_given(path, size, shape):
    Image.fromarray(pixels(1, size)).save(path)
    ours = torch.tensor(decoded(str(path), shape)).permute(2, 0, 1).int()
    x = torch.from_numpy(pixels(1, size)).permute(2, 0, 1)[None]
    assert (ours - resized(x, shape[1:])[0].int()).abs().max() <= 1


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_grey_or_coloured(tmp_path, mode, channels):
    path = tmp_path / "image.tif"
    image = Image.fromarray(pixels(2)).convert(mode)
    if mode == "YCbCr":
        path = path.with_suffix(".jpg")
    image.save(path)
    ours = decoded(str(path), (channels, 8, 8)).astype(int)
    assert ours.shape == (8, 8, channels)
    if mode in ("RGBA", "CMYK") and channels == 3:
        assert np.abs(ours - pixels(2)).max() <= 1
    if mode in ("L", "LA"):
        assert np.abs(ours - np.asarray(image.convert("L"), dtype=int)[..., None]).max() <= 1


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_keep_their_brightness(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    grey = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(grey).save(path)
    assert np.array_equal(decoded(str(path), (1, 8, 8))[..., 0], grey >> 8)
    assert np.array_equal(decoded(str(path), (3, 8, 8))[..., 2], grey >> 8)
    assert header(str(path)) == (1, 8, 8)


@pytest.mark.filterwarnings("error")
def test_a_palette_with_transparency_gives_its_colours(path):
    image = Image.fromarray(pixels(3)).convert("P", palette=Image.Palette.ADAPTIVE)
    image.save(path, transparency=bytes(range(256)))
    assert np.array_equal(decoded(str(path), (3, 8, 8)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_an_image_is_turned_as_the_camera_says(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    upright = np.zeros((8, 16, 3), dtype=np.uint8)
    upright[:, :4] = 255  # bright on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: to be turned by a quarter, clockwise
    Image.fromarray(np.rot90(upright).copy()).save(path, exif=exif, quality=100)
    assert header(str(path)) == (3, 8, 16)
    assert np.abs(decoded(str(path), (3, 8, 16)).astype(int) - upright).max() < 20


def test_a_large_jpeg_is_decoded_at_a_smaller_size_and_looks_the_same(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(pixels(4, (512, 768))).save(path, quality=100)
    exact = np.asarray(Image.open(path).resize((48, 32), Image.Resampling.BILINEAR), dtype=int)
    assert np.abs(decoded(str(path), (3, 32, 48)) - exact).mean() < 3


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_truncated_image_is_named(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    truncate(path)
    with pytest.raises(UnreadableImage, match=rf"^data: the image '{path}' cannot be read: .*truncated"):
        decoded(str(path), (3, 8, 8))


def test_what_is_no_image_is_named(path):
    path.write_text("no image")
    for read in (lambda: decoded(str(path), (3, 8, 8)), lambda: header(str(path))):
        with pytest.raises(UnreadableImage, match=rf"^data: the image '{path}' cannot be read: it is no image that"):
            read()
    path.unlink()
    with pytest.raises(UnreadableImage, match="No such file or directory$"):
        decoded(str(path), (3, 8, 8))


def test_floating_point_pixels_have_no_range_and_are_refused(tmp_path):
    Image.fromarray(np.zeros((8, 8), dtype=np.float32)).save(tmp_path / "image.tif")
    with pytest.raises(UnreadableImage, match="floating-point numbers of no known range"):
        decoded(str(tmp_path / "image.tif"), (1, 8, 8))
