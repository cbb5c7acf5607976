"""The networks of epoch_time.py as a user would write them, in a file that a config names."""

import keras


def network(image_shape, classes, convolutions=False):
    """Returns 784-128-10, or with convolutions the network of 421,642 parameters."""
    layers = [keras.Input(image_shape)]
    for filters in (32, 64) if convolutions else ():
        layers += [keras.layers.Conv2D(filters, 3, padding='same', activation='relu'), keras.layers.MaxPooling2D()]
    layers += [keras.layers.Flatten(), keras.layers.Dense(128, 'relu'), keras.layers.Dense(classes)]
    return keras.Sequential(layers)
