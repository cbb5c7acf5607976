"""Nadam (Dozat 2016) as Keras computes it, for JAX, which brings no optimizers."""

LEARNING_RATE, BETA_1, BETA_2, EPSILON, DECAY = 0.001, 0.9, 0.999, 1e-7, 0.96


def momenta(step: int):
    """Returns the momentum of step `step`, from 1, and that of the next one."""
    return BETA_1 * (1 - 0.5 * DECAY**step), BETA_1 * (1 - 0.5 * DECAY ** (step + 1))


def update(weight, gradient, m, v, product, step):
    """Returns the new (weight, m, v).

    Args:
      weight, gradient: arrays of one shape, of NumPy or JAX.
      m, v: decaying averages of the gradient and of its square, from 0.
      product: of the momenta of all steps up to this one.
      step: number of this step, from 1.
    """
    now, after = momenta(step)
    m = BETA_1 * m + (1 - BETA_1) * gradient
    v = BETA_2 * v + (1 - BETA_2) * gradient * gradient
    direction = after * m / (1 - product * after) + (1 - now) * gradient / (1 - product)
    return weight - LEARNING_RATE * direction / ((v / (1 - BETA_2**step)) ** 0.5 + EPSILON), m, v
