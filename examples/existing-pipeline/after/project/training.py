"""How a network is trained."""

import torch
from nni_earlyexit.data import batches
from torch.nn.functional import cross_entropy


def train(network, data, recipe, after_epoch):
    """Train the network, and let its accuracy and costs be reported to NNI after every epoch."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    for epoch in range(recipe.epochs):
        network.train()
        for x, y in batches(data.train, 64, shuffle=True, seed=epoch):
            loss = sum(cross_entropy(logits, y) for logits in network(x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        after_epoch(epoch + 1, network)
