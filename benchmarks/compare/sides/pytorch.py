"""PyTorch as a good user of it writes it for a CPU: data in memory as one tensor, which a permutation indexes; NHWC
(`channels_last`) for convolutions. Its NAdam takes the same steps as Keras's Nadam with momentum_decay=1 and epsilon 1e-7.
"""

import time

from benchmarks.compare.sides import nadam
from benchmarks.compare.sides.task import Task, orders


def run(task: Task, compiled: bool = False) -> dict:
    """Returns the seconds of each pass and the accuracy; `compiled`: with `torch.compile`."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    x_train, y_train, x_test, y_test = task.arrays()
    images, test_images = (torch.from_numpy(images).float().div_(255) for images in (x_train, x_test))
    labels, test_labels = (torch.from_numpy(labels).long() for labels in (y_train, y_test))
    model = _network(task.network).to(memory_format=torch.channels_last)
    optimizer = torch.optim.NAdam(
        model.parameters(),
        lr=nadam.LEARNING_RATE,
        betas=(nadam.BETA_1, nadam.BETA_2),
        eps=nadam.EPSILON,
        momentum_decay=1.0,
        foreach=True,
    )

    forward = torch.compile(model) if compiled else model

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        logits = forward(x.permute(0, 3, 1, 2))  # a view: NHWC in memory
        loss = functional.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        return loss.detach(), (logits.detach().argmax(1) == y).sum()

    seconds = []
    for order in orders(len(labels), task.passes, task.batch):
        started = time.perf_counter()
        loss, right = torch.zeros(()), torch.zeros((), dtype=torch.long)
        for indices in torch.from_numpy(order):
            one_loss, one_right = step(images[indices], labels[indices])
            loss += one_loss
            right += one_right
        seconds.append(time.perf_counter() - started)
        assert torch.isfinite(loss), 'diverged'
    model.eval()
    with torch.inference_mode():
        found = [
            (model(x.permute(0, 3, 1, 2)).argmax(1) == y).sum()
            for x, y in zip(test_images.split(1000), test_labels.split(1000), strict=True)
        ]
    return {
        'seconds': seconds,
        'accuracy': sum(found).item() / len(test_labels),
        'parameters': sum(weight.numel() for weight in model.parameters()),
    }


def run_compiled(task: Task) -> dict:
    """Returns the same with `torch.compile`, which needs a C++ compiler."""
    return run(task, compiled=True)


def _network(name: str):
    from torch import nn

    if name == 'resnet20':
        return _resnet()
    layers = []
    if name == 'cnn':
        for channels, filters in ((1, 32), (32, 64)):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    sizes = {'mlp': (784, 128, 10), 'mlp512': (784, 512, 512, 10), 'cnn': (3136, 128, 10)}[name]
    layers.append(nn.Flatten())
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    for layer in model:
        if isinstance(layer, nn.Linear | nn.Conv2d):  # Keras's initial weights
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def _resnet():
    from torch import nn
    from torch.nn import functional

    def convolution(channels, filters, stride):
        layer = nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)
        nn.init.kaiming_normal_(layer.weight)
        return nn.Sequential(layer, nn.BatchNorm2d(filters))

    class Block(nn.Module):
        def __init__(self, channels, filters):
            super().__init__()
            self.stride = filters // channels
            self.new = filters - channels
            self.first, self.second = convolution(channels, filters, self.stride), convolution(filters, filters, 1)

        def forward(self, x):
            y = self.second(functional.relu(self.first(x)))
            if self.new:
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.new))
            return functional.relu(x + y)

    layers, channels = [convolution(3, 16, 1), nn.ReLU()], 16
    for filters in (16, 32, 64):
        for _ in range(3):
            layers.append(Block(channels, filters))
            channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
