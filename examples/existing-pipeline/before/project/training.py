"""How a network is trained."""

import nni
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset


def evaluate(network, epochs):
    """Train the network on scikit-learn's digits, and report its accuracy to NNI."""
    digits = load_digits()
    x, y = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32), torch.tensor(digits.target)
    x, x_held_out, y, y_held_out = train_test_split(x, y, test_size=0.15, stratify=y, random_state=0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    batches = DataLoader(TensorDataset(x, y), 64, shuffle=True)
    accuracy = 0.0
    for _ in range(epochs):
        network.train()
        for x, y in batches:
            loss = cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            accuracy = float((network(x_held_out).argmax(1) == y_held_out).float().mean())
        nni.report_intermediate_result(accuracy)
    nni.report_final_result(accuracy)
