"""What the model sees: sources of examples and the tf.data pipeline."""

from seedwise import shadowing, signals

shadowing.check()
signals.starting()
