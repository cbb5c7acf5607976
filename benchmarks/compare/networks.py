"""The networks that are compared, with what a training step of each has to compute; needs no framework."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Linear:
    """A dense layer, or a convolution, which is a dense layer at each position of its output.

    Attributes:
      inputs: numbers that one output is a weighted sum of; kernel height x width x channels for a convolution.
      outputs: units or filters.
      positions: pixels of the output, 1 for a dense layer.
      per_output: further parameters of each output: 1 for a bias, 2 for batch normalisation.
    """

    inputs: int
    outputs: int
    positions: int = 1
    per_output: int = 1

    @property
    def flops(self) -> int:
        """Operations of one example, forward; a multiplication and an addition are two."""
        return 2 * self.inputs * self.outputs * self.positions

    @property
    def parameters(self) -> int:
        return (self.inputs + self.per_output) * self.outputs


@dataclasses.dataclass(frozen=True)
class Network:
    """A network.

    Attributes:
      title: what tables call it.
      image_shape: (height, width, channels).
      layers: dense layers and convolutions in order, the first of which sees the image.
      steps: training steps of one timed pass, unless a flag says otherwise.
      fields: fields of this project's config that differ from the default.
    """

    title: str
    image_shape: tuple[int, int, int]
    layers: tuple[Linear, ...]
    steps: int
    fields: dict

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    def training_flops(self, batch: int) -> int:
        """Returns the operations of one training step in dense layers and convolutions.

        The gradient of a layer's weights takes as many operations as the layer itself, and so does that of its input, which
        the first layer does not need. All else (bias, ReLU, pooling, normalisation, optimizer) is not counted.
        """
        first, *others = self.layers
        return batch * (2 * first.flops + 3 * sum(layer.flops for layer in others))


def _dense(*sizes: int) -> tuple[Linear, ...]:
    return tuple(Linear(inputs, outputs) for inputs, outputs in zip(sizes, sizes[1:], strict=False))


def _convolution(channels: int, filters: int, side: int, per_output: int = 1) -> Linear:
    return Linear(9 * channels, filters, side**2, per_output)


def _resnet_20() -> tuple[Linear, ...]:
    layers = [_convolution(3, 16, 32, 2)]
    channels = 16
    for stage in range(3):
        filters = 16 * 2**stage
        for _ in range(6):
            layers.append(_convolution(channels, filters, 32 // 2**stage, 2))
            channels = filters
    return *layers, Linear(64, 10)


MNIST, CIFAR = (28, 28, 1), (32, 32, 3)
PIXELS = math.prod(MNIST)
CNN = (_convolution(1, 32, 28), _convolution(32, 64, 14), *_dense(7 * 7 * 64, 128, 10))

#: Name -> network. The steps of MNIST's dense networks are one epoch.
NETWORKS = {
    'mlp': Network('MLP 784-128-10', MNIST, _dense(PIXELS, 128, 10), 468, {'model.name': 'mlp'}),
    'mlp512': Network(
        'MLP 784-512-512-10',
        MNIST,
        _dense(PIXELS, 512, 512, 10),
        468,
        {'model.name': 'mlp', 'model.hidden': (512, 512)},
    ),
    'cnn': Network('CNN, 421,642 parameters', MNIST, CNN, 117, {'model.name': 'cnn'}),
    'resnet20': Network('ResNet-20 on 32x32x3', CIFAR, _resnet_20(), 16, {'model.name': 'resnet'}),
}
