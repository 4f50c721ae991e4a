"""Networks of spaces whose backbone is a given model."""

from __future__ import annotations

import torch
from nni_earlyexit.training.joint_loss import JointLoss


def all_exits(space):
    """A sample with every exit and layers in each."""
    values = {label: choices[-1] for label, choices in space.choices.items()}
    return space.canonical({**values, **{label: "yes" for label in values if label.endswith("_present")}})


def train_a_step(space, classes=8):
    """The network with all exits after one step of training on random images."""
    network = space.freeze(all_exits(space)).train()
    module = JointLoss()
    module.set_model(network)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    module.training_step((torch.randn(8, *space.input_shape), torch.arange(8) % classes), 0).backward()
    optimizer.step()
    return network
