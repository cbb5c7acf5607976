"""Plain Keras: `fit` from float32 arrays in memory with its accuracy metric, as its guides write it."""

import os
import time

from benchmarks.compare.networks import NETWORKS
from benchmarks.compare.sides.task import Task


def run(task: Task) -> dict:
    """Returns the seconds of each `fit` of one epoch, and the accuracy that `evaluate` gives."""
    os.environ['KERAS_BACKEND'] = 'tensorflow'
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(task.threads)
    tf.config.threading.set_inter_op_parallelism_threads(task.threads)
    import keras

    x_train, y_train, x_test, y_test = task.arrays()
    x_train, x_test = (images.astype('float32') / 255 for images in (x_train, x_test))
    keras.utils.set_random_seed(0)
    model = _network(task.network)
    model.compile(
        optimizer='nadam',
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=['accuracy'],
    )
    seconds = []
    for _ in range(task.passes):
        started = time.perf_counter()
        model.fit(x_train, y_train, batch_size=task.batch, verbose=0)
        seconds.append(time.perf_counter() - started)
    _, accuracy = model.evaluate(x_test, y_test, batch_size=min(1000, len(x_test)), verbose=0)
    return {
        'seconds': seconds,
        'accuracy': accuracy,
        'parameters': sum(weight.shape.num_elements() for weight in model.trainable_variables),
    }


def _network(name: str):
    if name == 'resnet20':
        from trainer.models.resnet import resnet

        return resnet(NETWORKS[name].image_shape, 10)
    import keras

    layers = [keras.Input(NETWORKS[name].image_shape)]
    for filters in (32, 64) if name == 'cnn' else ():
        layers += [keras.layers.Conv2D(filters, 3, padding='same', activation='relu'), keras.layers.MaxPooling2D()]
    layers.append(keras.layers.Flatten())
    for units in (512, 512) if name == 'mlp512' else (128,):
        layers.append(keras.layers.Dense(units, 'relu'))
    return keras.Sequential([*layers, keras.layers.Dense(10)])
