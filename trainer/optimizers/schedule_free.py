"""Schedule-Free AdamW, as its paper and Keras's documentation have it.

Keras 3.15's own class computes something else on TensorFlow: it keeps the variable z itself where it means z's value
before the step, so that `beta_1` cancels out and the gradients are taken at the plain average of z.
"""

import keras
import tensorflow as tf


class ScheduleFreeAdamW(keras.optimizers.ScheduleFreeAdamW):
    """Keras's class with another step, and with the weights that are to be evaluated.

    With u the Adam update without momentum, step t (from 1) of Defazio et al. 2024 (The Road Less Scheduled, equations 3 to
    5 and algorithm 1, c = 1 / t) is

        z' = z - learning_rate * u(y);  x' = (1 - c) * x + c * z';  y' = (1 - beta_1) * z' + beta_1 * x'

    The model holds y while it trains. x, the weights to evaluate, is not kept: it follows from y and z.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Takes one step of a variable, as the class says."""
        dtype = variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        rate = tf.cast(learning_rate, dtype)
        if self.warmup_steps:
            rate *= tf.minimum(step / self.warmup_steps, 1)
        index = self._get_variable_index(variable)
        z, velocity = self._momentums[index], self._velocities[index]

        gradient = tf.cast(gradient, dtype)
        self.assign_add(velocity, (tf.square(gradient) - velocity) * (1 - self.beta_2))
        corrected = velocity / (1 - tf.pow(tf.constant(self.beta_2, dtype), step))
        before = tf.identity(tf.convert_to_tensor(z))
        self.assign_sub(z, rate * gradient / (tf.sqrt(corrected) + self.epsilon))

        # beta_1 * x' without a division by beta_1: beta_1 * x is y - (1 - beta_1) * z.
        weight = 1 / step
        x = (1 - weight) * (variable - (1 - self.beta_1) * before) + self.beta_1 * weight * z
        self.assign(variable, (1 - self.beta_1) * z + x)

    def finalize_variable_values(self, var_list):
        """Sets the variables, which hold y, to x: the weights to evaluate."""
        for variable in var_list:
            z = self._momentums[self._get_variable_index(variable)]
            self.assign(variable, (variable - (1 - self.beta_1) * z) / self.beta_1)
