"""Any timm model as a backbone: it stays the model that it was, and exits are attached to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import timm
import torch
from backbones import all_exits, train_a_step
from nni_earlyexit import ExitPolicy, search_spaces
from safetensors.torch import save_file

# 30 architectures of 20 families, small ones
MODELS = [
    "resnet18", "resnet26", "resnext26ts", "seresnet18", "resnetv2_50", "res2net50_26w_4s",
    "regnetx_002", "regnety_002", "repvgg_a0", "densenet121", "dla34",
    "mobilenetv2_050", "mobilenetv3_small_050", "mobilenetv4_conv_small", "mnasnet_small", "lcnet_050",
    "efficientnet_lite0", "tinynet_e", "ghostnet_100", "convnext_atto", "convnextv2_atto", "mambaout_femto",
    "edgenext_xx_small", "mobilevit_xxs", "poolformer_s12", "pvt_v2_b0", "levit_128s",
    "vit_tiny_patch16_224", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "mixer_s32_224",
]  # fmt: skip


FEW = ("resnet18", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224", "levit_128s")  # one of a kind


@pytest.mark.parametrize("name", [pytest.param(m, marks=[] if m in FEW else [pytest.mark.slow]) for m in MODELS])
def test_the_last_exit_gives_the_logits_of_the_model_and_costs_are_exact(name):
    space = search_spaces.create(f"timm:{name}")
    sample = all_exits(space)
    network = space.freeze(sample).eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(name).eval()  # the weights that the space begins with
    x = torch.randn(2, *space.input_shape)
    with torch.no_grad():
        logits, expected = network(x), model(x)
    assert len(logits) == len(network.stages) >= 3
    assert torch.allclose(logits[-1], expected, atol=1e-5, rtol=0)
    assert all(exit.shape == expected.shape for exit in logits)
    assert space.exit_costs(sample) == network.exit_costs


def test_the_weights_of_a_file_are_kept(tmp_path):
    model = timm.create_model("resnet18", num_classes=7).eval()
    save_file(model.state_dict(), tmp_path / "my weights.safetensors")
    space = search_spaces.create("timm:resnet18", weights=str(tmp_path / "my weights.safetensors"))
    assert search_spaces.create(space.identity()).num_classes == space.num_classes == 7
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(space.freeze(all_exits(space)).eval()(x)[-1], model(x))


def test_another_number_of_classes_gives_a_new_classifier_on_the_same_backbone(tmp_path):
    model = timm.create_model("resnet18", num_classes=7)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    space = search_spaces.create("timm:resnet18", weights=str(tmp_path / "w.safetensors"), num_classes=4, frozen=True)
    network = space.freeze(all_exits(space))
    assert [tuple(logits.shape) for logits in network.eval()(torch.zeros(1, 3, 224, 224))] == [(1, 4)] * 4
    state = network.state_dict()
    assert torch.equal(state["stages.0.body.layer1.0.conv1.weight"], model.state_dict()["layer1.0.conv1.weight"])
    # the new classifier learns, the old backbone does not
    assert {name for name, p in network.named_parameters() if p.requires_grad and name.startswith("exits.3")}
    assert not any(p.requires_grad for p in network.stages.parameters())


def test_a_frozen_backbone_does_not_change_while_its_exits_learn():
    space = search_spaces.create("timm:resnet18", num_classes=None, resolution=32, frozen=True)
    torch.manual_seed(0)
    before = {name: value.clone() for name, value in space.freeze(all_exits(space)).state_dict().items()}
    torch.manual_seed(0)
    network = train_a_step(space)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[1] for name in changed} == {"0", "1", "2"}
    assert all(name.startswith("exits.") for name in changed)


def test_a_frozen_network_with_a_classifier_that_fits_stays_the_users_own(tmp_path):
    model = timm.create_model("resnet10t", num_classes=10).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    text = f"timm:resnet10t resolution=32 num_classes=10 frozen=true weights={tmp_path / 'w.safetensors'}"
    network = train_a_step(search_spaces.create(text))
    last = network.truncate(len(network.exits) - 1)
    kept = {name.partition("body.")[2]: v for name, v in last.state_dict().items() if "body." in name}
    assert set(kept) == set(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(kept[name], value), name


def test_a_frozen_backbone_runs_without_gradients_unless_something_before_it_learns(tmp_path):
    space = search_spaces.create("timm:resnet18 resolution=32 frozen=true")
    network = space.freeze(all_exits(space)).train()
    x = network.stages[0](network.stem(torch.randn(2, 3, 32, 32)))
    assert x.grad_fn is None
    assert not any(module.training for stage in network.stages for module in stage.modules())
    network(torch.randn(2, 3, 32, 32))[0].sum().backward()
    assert any(p.grad is not None for p in network.exits["0"].parameters())
    assert network.stages[1](x.requires_grad_()).grad_fn is not None


def test_a_network_with_weights_says_what_they_want_images_normalised_with(tmp_path):
    model = timm.create_model("resnet10t", num_classes=10)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    space = search_spaces.create("timm:resnet10t", resolution=32, weights=str(tmp_path / "w.safetensors"))
    network = space.freeze(all_exits(space))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    policy = ExitPolicy((*[0.5] * (len(network.exits) - 2), math.inf, -math.inf))
    for holder in (space, network, network.truncate(0), network.prune(policy)):
        assert (holder.mean, holder.std) == (mean, std)
    without = search_spaces.create("timm:resnet10t resolution=32")
    assert (without.mean, without.freeze(all_exits(without)).std) == (None, None)


def test_every_network_of_a_space_starts_from_the_same_weights_of_its_own():
    space = search_spaces.create("timm:resnet18 resolution=32")
    rng = np.random.default_rng(0)
    first, second = (space.freeze(space.sample(rng)) for _ in range(2))
    a, b = first.stages[1].body.layer2[0].conv1.weight, second.stages[1].body.layer2[0].conv1.weight
    assert torch.equal(a, b)
    with torch.no_grad():
        a.zero_()
    assert not torch.equal(a, b)


def test_a_vision_transformer_takes_another_resolution():
    space = search_spaces.create("timm:vit_tiny_patch16_224 resolution=64 num_classes=10")
    assert space.input_shape == (3, 64, 64)
    network = space.freeze(all_exits(space)).eval()
    assert [tuple(logits.shape) for logits in network(torch.zeros(1, 3, 64, 64))] == [(1, 10)] * 4


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("timm", "space timm: model is missing"),
        ("timm:resnet19", "model: 'resnet19' is unknown; did you mean 'resnet18'"),
        ("timm:hrnet_w18_small", "model: hrnet_w18_small cannot be cut into stages: 'stem' runs 0 times"),
        ("timm:xception41", "model: xception41 cannot be cut into stages: beside the tensor of 'blocks.0"),
        ("timm:resnet18 resolution=2", "resolution: 2 is not possible; a whole number from 8 is"),
        ("timm:vit_tiny_patch16_224 resolution=70", "resolution: 70 cannot be divided into the patches of vit_tiny"),
        ("timm:resnet18 num_classes=1", "num_classes: 1 is not possible; a whole number from 2 is"),
        ("timm:resnet18 weights=none.safetensors", "weights: there is no file 'none.safetensors'"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_in_one_sentence(text, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        search_spaces.create(text)


def test_a_model_without_features_is_refused(monkeypatch):
    original = timm.create_model

    def without(*args, **kwargs):
        model = original(*args, **kwargs)
        del model.feature_info
        return model

    monkeypatch.setattr(timm, "create_model", without)
    with pytest.raises(ValueError, match="model: timm names no features of resnet10t"):
        search_spaces.create("timm:resnet10t resolution=40")


def test_weights_that_do_not_fit_are_refused(tmp_path):
    state = timm.create_model("resnet18").state_dict()
    file = tmp_path / "w.safetensors"
    cases = {
        "lacks 'conv1.weight'": {name: value for name, value in state.items() if name != "conv1.weight"},
        "holds 'other', which the model does not have": {**state, "other": torch.zeros(1)},
        r"weights: 'bn1.bias' has shape \(3,\) in": {**state, "bn1.bias": torch.zeros(3)},
    }
    for sentence, content in cases.items():
        save_file(content, file)
        with pytest.raises(ValueError, match=sentence):
            search_spaces.create("timm:resnet18", weights=str(file))
    file.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        search_spaces.create("timm:resnet18", weights=str(file))
