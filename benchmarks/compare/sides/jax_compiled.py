"""JAX, data in memory, Nadam by hand (`nadam.py`): one compiled call for all steps of a pass (`lax.scan`) of dense
networks, and one for each step of convolutional ones, which XLA computes many times slower within a loop on a CPU.
"""

import os
import time

from benchmarks.compare.sides import nadam
from benchmarks.compare.sides.task import Task, orders

#: Batch normalisation, as trainer/models/resnet.py has it.
MOMENTUM, EPSILON = 0.9, 1e-5


#: Networks without convolutions.
DENSE = ('mlp', 'mlp512')


def run(task: Task) -> dict:
    """Returns the seconds of each pass and the accuracy."""
    os.environ['NPROC'] = str(task.threads)  # what XLA takes as the number of its threads
    os.environ['JAX_PLATFORMS'] = 'cpu'
    import jax
    import numpy as np
    from jax import lax
    from jax import numpy as jnp

    x_train, y_train, x_test, y_test = task.arrays()
    images, labels = jnp.asarray(x_train, jnp.float32) / 255, jnp.asarray(y_train, jnp.int32)
    weights, moving, forward = _network(task.network, jax.random.key(0))
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = (weights, moving, zeros, jax.tree.map(jnp.copy, zeros), jnp.ones(()), jnp.zeros(()))

    def loss_of(weights, moving, x, y):
        logits, moving = forward(weights, moving, x, True)
        loss = -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()
        return loss, (moving, (logits.argmax(1) == y).sum())

    def step(state, batch):
        weights, moving, m, v, product, count = state
        indices, images, labels = batch
        gradient_of = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (moving, right)), gradient = gradient_of(weights, moving, images[indices], labels[indices])
        count += 1
        product *= nadam.momenta(count)[0]
        new = jax.tree.map(lambda *arrays: nadam.update(*arrays, product, count), weights, gradient, m, v)
        weights, m, v = (jax.tree.map(lambda _, part: part[i], weights, new) for i in range(3))  # noqa: B023
        return (weights, moving, m, v, product, count), (loss, right)

    def scanned(state, order, images, labels):
        return lax.scan(lambda state, indices: step(state, (indices, images, labels)), state, order)

    whole, one = jax.jit(scanned, donate_argnums=0), jax.jit(step, donate_argnums=0)
    seconds = []
    for order in orders(len(y_train), task.passes, task.batch):
        started = time.perf_counter()
        if task.network in DENSE:
            state, totals = whole(state, jnp.asarray(order), images, labels)
        else:
            for indices in order:
                state, totals = one(state, (jnp.asarray(indices), images, labels))
        jax.block_until_ready((state, totals))
        seconds.append(time.perf_counter() - started)
        assert np.isfinite(totals[0]).all(), 'diverged'
    evaluate = jax.jit(lambda weights, moving, x, y: (forward(weights, moving, x, False)[0].argmax(1) == y).sum())
    right = 0
    for first in range(0, len(y_test), 1000):
        x = jnp.asarray(x_test[first : first + 1000], jnp.float32) / 255
        right += int(evaluate(*state[:2], x, y_test[first : first + 1000]))
    return {
        'seconds': seconds,
        'accuracy': right / len(y_test),
        'parameters': sum(weight.size for weight in jax.tree.leaves(state[0])),
    }


def _network(name: str, key):
    """Returns (weights, moving statistics of batch normalisation, forward), of which

    forward(weights, moving, x [batch, height, width, channels], training) returns (logits, new moving statistics).
    """
    import jax
    from jax import lax
    from jax import numpy as jnp

    def convolve(x, kernel, stride=1):
        return lax.conv_general_dilated(x, kernel, (stride, stride), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))

    def pool(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID')

    if name == 'resnet20':
        return _resnet(key, convolve)
    convolutions = ((3, 3, 1, 32), (3, 3, 32, 64)) if name == 'cnn' else ()
    sizes = {'mlp': (784, 128, 10), 'mlp512': (784, 512, 512, 10), 'cnn': (3136, 128, 10)}[name]
    shapes = [*convolutions, *zip(sizes, sizes[1:], strict=False)]
    draw = jax.nn.initializers.glorot_uniform()
    keys = jax.random.split(key, len(shapes))
    weights = [(draw(key, shape), jnp.zeros(shape[-1])) for key, shape in zip(keys, shapes, strict=True)]

    def forward(weights, moving, x, training):
        for kernel, bias in weights[: len(convolutions)]:
            x = pool(jax.nn.relu(convolve(x, kernel) + bias))
        x = x.reshape(len(x), -1)
        for kernel, bias in weights[len(convolutions) : -1]:
            x = jax.nn.relu(x @ kernel + bias)
        kernel, bias = weights[-1]
        return x @ kernel + bias, moving

    return weights, [], forward


def _resnet(key, convolve):
    import jax
    from jax import numpy as jnp

    shapes, channels = [(3, 3, 3, 16)], 16
    for filters in (16, 32, 64):
        for _ in range(6):
            shapes.append((3, 3, channels, filters))
            channels = filters
    draw = jax.nn.initializers.he_normal()
    *keys, last = jax.random.split(key, len(shapes) + 1)
    kernels = [
        (draw(key, shape), jnp.ones(shape[-1]), jnp.zeros(shape[-1])) for key, shape in zip(keys, shapes, strict=True)
    ]
    weights = [*kernels, (draw(last, (64, 10)), jnp.zeros(10))]
    moving = [(jnp.zeros(shape[-1]), jnp.ones(shape[-1])) for shape in shapes]

    def forward(weights, moving, x, training):
        new = []

        def normalised(x, index, stride=1):
            kernel, scale, offset = weights[index]
            x = convolve(x, kernel, stride)
            mean, variance = moving[index]
            if training:
                kept = moving[index]
                mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
                new.append(
                    tuple(
                        MOMENTUM * old + (1 - MOMENTUM) * now for old, now in zip(kept, (mean, variance), strict=True)
                    )
                )
            return (x - mean) * (scale / jnp.sqrt(variance + EPSILON)) + offset

        x = jax.nn.relu(normalised(x, 0))
        for first in range(1, len(shapes), 2):
            stride = shapes[first][3] // shapes[first][2]
            y = normalised(jax.nn.relu(normalised(x, first, stride)), first + 1)
            if stride == 2:
                x = jnp.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (0, x.shape[-1])))
            x = jax.nn.relu(x + y)
        kernel, bias = weights[-1]
        return x.mean((1, 2)) @ kernel + bias, new if training else moving

    return weights, moving, forward
