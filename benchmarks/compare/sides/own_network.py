"""The networks as a user would write them, in a file that a config names."""

import keras


def network(image_shape, classes, name='mlp'):
    """Returns 784-128-10, 784-512-512-10, or with name='cnn' the network of 421,642 parameters."""
    layers = [keras.Input(image_shape)]
    for filters in (32, 64) if name == 'cnn' else ():
        layers += [keras.layers.Conv2D(filters, 3, padding='same', activation='relu'), keras.layers.MaxPooling2D()]
    layers.append(keras.layers.Flatten())
    for units in (512, 512) if name == 'mlp512' else (128,):
        layers.append(keras.layers.Dense(units, 'relu'))
    return keras.Sequential([*layers, keras.layers.Dense(classes)])
