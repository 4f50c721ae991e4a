"""torchvision's classifiers as backbones: they stay the models that they were, and exits are attached to them."""

from __future__ import annotations

import pytest
import torch
from backbones import all_exits, train_a_step
from nni_earlyexit import search_spaces
from safetensors.torch import save_file
from torchvision import models

MODELS = ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "vit_b_16"]
MORE = ["swin_t", "mobilenet_v2", "densenet121", "shufflenet_v2_x0_5", "regnet_y_400mf", "convnext_tiny", "mnasnet0_5"]


@pytest.mark.parametrize("name", [*MODELS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])
def test_the_last_exit_gives_the_logits_of_the_model_and_costs_are_exact(name):
    space = search_spaces.create(f"torchvision:{name} resolution=64")
    assert search_spaces.create(space.identity()).identity() == f"torchvision:{name}/1 resolution=64"
    sample = all_exits(space)
    network = space.freeze(sample).eval()
    arguments = {"image_size": 64} if name.startswith("vit") else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.get_model(name, weights=None, **arguments).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits, expected = network(x), model(x)
    assert len(logits) == len(network.stages) == 4
    assert torch.allclose(logits[-1], expected, atol=1e-5, rtol=0)
    assert space.exit_costs(sample) == network.exit_costs


def test_exits_follow_the_modules_that_are_named(rng):
    space = search_spaces.create("torchvision:resnet18 resolution=64 num_classes=10 exits=layer1.0,layer3")
    assert space.identity() == "torchvision:resnet18/1 exits=layer1.0,layer3 num_classes=10 resolution=64"
    assert [stage.output_shape for stage in space.network.stages] == [(64, 16, 16), (256, 4, 4), (10,)]
    sample = all_exits(space)
    assert space.exit_costs(sample) == space.freeze(sample).exit_costs
    one = search_spaces.create("torchvision:resnet18 resolution=64 exits=layer2")
    assert len(one.network.stages) == 2
    assert search_spaces.create(one.identity()).identity() == one.identity()


@pytest.mark.parametrize("classes", [None, 7, 4])
def test_frozen_weights_stay_but_those_of_a_new_classifier(tmp_path, classes):
    model = models.resnet18(num_classes=7)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    space = search_spaces.create(
        "torchvision:resnet18", resolution=32, frozen=True, num_classes=classes, weights=str(tmp_path / "w.safetensors")
    )
    assert space.num_classes == (classes or 7)
    assert space.mean == (0.485, 0.456, 0.406)
    network = train_a_step(space, classes=4)
    assert network.std == (0.229, 0.224, 0.225)
    kept = {name.partition("body.")[2]: v for name, v in network.state_dict().items() if "body." in name}
    assert set(kept) == set(model.state_dict())
    changed = {name for name, value in model.state_dict().items() if not torch.equal(kept[name], value)}
    assert changed == ({"fc.weight", "fc.bias"} if classes == 4 else set())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("torchvision", "space torchvision: model is missing"),
        ("torchvision:resnet19", "model: 'resnet19' is unknown; did you mean 'resnet18'"),
        ("torchvision:resnet18 exits=layer9", "exits: 'layer9' is unknown; did you mean 'layer4'"),
        (
            "torchvision:resnet18 exits=layer3,layer2",
            "model: resnet18 cannot be cut into stages: , layer3, layer2 do not run",
        ),
        ("torchvision:resnet18 exits=layer1.0.conv1", "resnet18 cannot be cut into stages: beside the tensor of"),
        ("torchvision:resnet18 exits=avgpool,flatten", "exits: 'flatten' is unknown"),
        ("torchvision:vit_b_16 resolution=40", "resolution: 40 is not possible for vit_b_16: Input shape indivisible"),
        ("torchvision:resnet18 resolution=4", "resolution: 4 is not possible; a whole number from 8 is"),
        ("torchvision:alexnet resolution=16", "resolution: alexnet does not take images of 16x16 pixels"),
        ("torchvision:resnet18 num_classes=1", "num_classes: 1 is not possible; a whole number from 2 is"),
        ("torchvision:resnet18 weights=none.safetensors", "weights: there is no file 'none.safetensors'"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(text, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        search_spaces.create(text)


def test_the_nearest_resolution_is_one_that_the_model_takes():
    space = search_spaces.find("torchvision")
    assert space.nearest_resolution(31, model="vit_b_16") == 32
