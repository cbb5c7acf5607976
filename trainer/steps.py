"""The compiled training and evaluation steps: one loop for every strategy.

Keras 3's own `fit` fails on two workers, so the loop is here: each replica computes the gradients of its share of the
global batch, the shares are summed across replicas, and each replica applies the same update. Many steps run in one
compiled call, a block, and no metric leaves the device or crosses workers before the call ends.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from seedwise import references
from seedwise.errors import UserError
from trainer import losses, metrics, models, optimizers
from trainer.loop import mixup, xla
from trainer.loop.collectives import Collectives
from trainer.loop.reports import NOTHING, BlockReport, LastStep, Totals
from trainer.loop.scaling import Moments, float_type, scaled
from trainer.models import batch_norm, own
from trainer.models.random_layers import StepSeeds, check_repeats

#: Called with a block of evaluated examples, arrays [steps, batch, ...]: images, labels, mask, predicted class and its
#: probability, and, where some metric needs them, float32 logits.
OnBlock = Callable[..., None]


class Program:
    """Model, optimizer and the compiled steps of one run.

    Attributes:
      model: the Keras model, images in [0, 1] -> logits.
      optimizer: the Keras optimizer, built.
      collectives: what sums and gathers across replicas and workers.
      moments: mean and standard deviation, by which inputs are normalised; None: they are not.
    """

    def __init__(
        self,
        config,
        devices,
        image_shape: tuple[int, ...],
        classes: int,
        moments: Moments | None = None,
        class_weights: np.ndarray | None = None,
        *,
        total_steps: int,
        warmup_steps: int,
    ):
        """Takes the `tf.distribute.Strategy` and what the training examples decide.

        `moments`: by which inputs are normalised, None: they are not. `class_weights`: [classes], in the loss; None: none.
        """
        self._devices = devices
        self._image_shape, self._classes = image_shape, classes
        self._total_steps, self._warmup_steps = total_steps, warmup_steps
        self.collectives = Collectives(devices)
        self._replicas, self._sum_dtype = self.collectives.replicas, self.collectives.sum_dtype
        self._batch, self._dtype = config.global_batch_size, float_type(config.precision)
        self._loss = losses.build(config.loss, classes, self._dtype)
        self._mixup = config.data.augment.mixup
        self._gathers_logits = any(name not in metrics.ALWAYS for name in config.metrics)
        self.moments = moments
        with devices.scope():
            # Variables, so that the compiled steps can be used for other training examples.
            self._normalization = [tf.Variable(x, dtype=self._dtype, trainable=False) for x in moments or ()]
            weights = [] if class_weights is None else [class_weights]
            self._class_weights = [tf.Variable(x, dtype=self._dtype, trainable=False) for x in weights]
            self.model, self.optimizer = self._make(config)
            self.optimizer.build(self.model.trainable_variables)
        self._to_save = self.model
        self._inner_optimizer = getattr(self.optimizer, 'inner_optimizer', self.optimizer)
        _sum_no_gradients(self._inner_optimizer, self._replicas)
        self._averages = optimizers.averages(config.optimizer)
        # Keras overwrites the weights within a replica's step, which fails with several replicas. `_overwrite` does it.
        self._overwrite_frequency = self._inner_optimizer.ema_overwrite_frequency
        self._inner_optimizer.ema_overwrite_frequency = None
        self._seeds = StepSeeds(self.model)
        batch_norm.fuse(self.model)
        if references.is_reference(config.model.name) and self._replicas == 1:
            file = references.parse(config.model.name, 'model.name').file
            check_repeats(self.model, self._seeds, image_shape, file)
        if tf.config.functions_run_eagerly():  # no step would be compiled
            raise UserError('a file of yours calls tf.config.run_functions_eagerly(True): leave it out')
        # One device compiles the whole loop: entering a compiled step takes 30 us, and a small step 150. Several devices
        # cannot, since XLA does not compile what passes between them.
        jit = xla.use_xla(config, devices, self.model) or None
        self._jit = config.jit
        one_device = isinstance(devices, tf.distribute.OneDeviceStrategy)
        self._step: Callable = self._train_step
        if jit and not one_device:
            self._step = tf.function(self._train_step, jit_compile=True, autograph=False)
        self._train_block = tf.function(self._train_steps, jit_compile=jit if one_device else None, autograph=False)
        self._evaluate_block = tf.function(self._eval_steps, autograph=False)
        self._longest = 0

    def reset(self, config, moments: Moments | None = None, class_weights: np.ndarray | None = None) -> None:
        """Makes this the program of another run, without compiling it again.

        Args:
          config: differs from this program's in its seed, and in a constant learning rate, and in nothing else.
          moments: of the run's training examples, if inputs are normalised.
          class_weights: of the run's, if the loss has any.
        """
        self.moments = moments
        weights = () if class_weights is None else (class_weights,)
        for variable, value in zip(
            (*self._normalization, *self._class_weights), (*(moments or ()), *weights), strict=True
        ):
            variable.assign(value)
        with self._devices.scope():
            model, optimizer = self._make(config)
            optimizer.build(model.trainable_variables)
        fresh = [variable.value for variable in model.weights + optimizer.variables]
        for mine, other in zip(self.variables, fresh, strict=True):
            mine.assign(other)
        self._to_save = model  # it knows its own seed; the compiled one knows that of the first run

    def _make(self, config):
        model = models.build(config, self._image_shape, self._classes, self._replicas)
        steps = self._total_steps, self._warmup_steps
        return model, optimizers.build(config.optimizer, config.schedule, *steps, config.precision)

    @property
    def variables(self) -> list[tf.Variable]:
        """All that training changes: weights, moving averages, optimizer state."""
        return [variable.value for variable in self.model.weights + self.optimizer.variables]

    @contextlib.contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """Returns a context in which the model holds the weights to evaluate; afterwards, those to train, bit for bit."""
        if not self._averages:
            yield
            return
        training = [variable.numpy() for variable in self.model.trainable_variables]
        self.finalize()
        try:
            yield
        finally:
            for variable, value in zip(self.model.trainable_variables, training, strict=True):
                variable.assign(value)

    def finalize(self) -> None:
        """Puts the weights to evaluate into the model for good: it cannot be trained further."""
        # Before the first step there is no average: Keras's holds zeros.
        if self._averages and self._inner_optimizer.iterations.numpy() > 0:
            self.optimizer.finalize_variable_values(self.model.trainable_variables)

    def model_to_save(self) -> keras.Model:
        """Returns the model with its weights, and with the seeds of this run in its layers' configs."""
        if self._to_save is not self.model:
            self._to_save.set_weights(self.model.get_weights())
        return self._to_save

    def train(self, block: tuple, seed: int, first_step: int, stop: bool = False) -> BlockReport:
        """Trains the steps of a block.

        Args:
          block: images, labels and sample weights if there are any, an element of `pipeline.train_blocks` for each replica.
          seed: the run's.
          first_step: the run's step that the block begins with.
          stop: whether this worker asks all workers to stop after this block.
        """
        steps = len(self._devices.experimental_local_results(block[1])[0])
        # A block shorter than the longest one is padded: for another shape the call would be compiled again.
        self._longest = max(self._longest, steps)
        if steps < self._longest:
            block = self._devices.run(lambda *arrays: tuple(_padded(x, self._longest) for x in arrays), args=block)
        numbers = [tf.constant(number) for number in (steps, seed, first_step, stop)]
        if self._mixup:
            numbers.append(tf.constant(mixup.coefficients(self._mixup, seed, first_step, self._longest)))
        try:
            totals, last, stops = self._train_block(block, *numbers)
        except tf.errors.InvalidArgumentError as error:  # before the step has run
            xla.check_may_do_without(error, self._jit)
            self._train_block = tf.function(self._train_steps, autograph=False)
            totals, last, stops = self._train_block(block, *numbers)
        return BlockReport(Totals(*_numbers(totals)), LastStep(*_numbers(last)), bool(stops.numpy() > 0))

    def evaluate(self, blocks: Iterable[tuple], on_block: OnBlock | None = None) -> Totals:
        """Returns the totals over the blocks of `pipeline.eval_blocks`, of all workers.

        Args:
          blocks: images, labels and mask of each, for each replica.
          on_block: is called with each block of this worker, if given.
        """
        totals = NOTHING
        for block in blocks:
            sums, *predictions = self._evaluate_block(*block)
            totals = totals.plus(Totals(*_numbers(sums)))
            if on_block:
                local = [self._devices.experimental_local_results(x) for x in block]
                whole = [parts[0] if len(parts) == 1 else tf.concat(parts, 1) for parts in local]
                on_block(*map(np.asarray, (*whole, *predictions)))  # `numpy()` would copy
        return totals._replace(examples=round(totals.examples))

    def _train_steps(self, block, steps, seed, first_step, stop, *mixing):
        """The first `steps` steps of a block: returns `Totals`, `LastStep` and the number of workers that ask to stop.

        `mixing`: with mixup, the coefficient of each step.
        """

        def step(i, totals, last):
            is_last = tf.equal(i + 1, steps)
            args = (block, i, seed, first_step + i, is_last, *(coefficients[i] for coefficients in mixing))
            per_replica = self._devices.run(self._replica_step, args=args)
            self._overwrite()
            first = [self._devices.experimental_local_results(value)[0] for value in per_replica[1]]
            return i + 1, totals.plus(self._sum_over_local(per_replica[0])), LastStep(*first)

        start = (tf.constant(0), self._no_totals(), LastStep(*[tf.constant(0.0)] * 3))
        _, totals, last = tf.while_loop(lambda i, *_: i < steps, step, start)
        *totals, stops = tf.unstack(self.collectives.over_workers(tf.stack([*totals, tf.cast(stop, self._sum_dtype)])))
        return Totals(*totals), last, stops

    def _replica_step(self, block, i, seed, step, is_last, *mixing):
        # Sliced out here: a step that XLA compiles by itself would be compiled again for each length of block.
        return self._step(tuple(array[i] for array in block), seed, step, is_last, *mixing)

    def _train_step(self, batch, seed, step, is_last, coefficient=None):
        """One step of one replica on its share of a global batch: images [batch, ...], int32 labels [batch] and, if there
        are any, sample weights [batch].

        `coefficient`: of mixup, None: without it.
        """
        images, *targets = batch
        labels = targets[0]
        inputs = self._inputs(images)
        if coefficient is not None:
            inputs = mixup.mixed(coefficient, inputs, mixup.partners(inputs))
        with tf.GradientTape() as tape, self._seeds.at(seed, step):
            logits = self.model(inputs, training=True)
            if self.model.losses:  # some are added in training alone
                raise own.adds_losses(f"model '{self.model.name}'")
            loss = self._weighted_loss(logits, *targets)
            if coefficient is not None:
                of_partners = self._weighted_loss(logits, *map(mixup.partners, targets))
                loss = mixup.mixed(coefficient, loss, of_partners)
            mean = tf.reduce_sum(loss) / self._batch  # the share in the mean over the global batch
            scaled = self.optimizer.scale_loss(mean)
        gradients = self.collectives.over_replicas(tape.gradient(scaled, self.model.trainable_variables))
        last = LastStep(tf.cast(self._inner_optimizer.learning_rate, tf.float32), *self._norms(gradients, is_last))
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return self._totals(loss, logits, labels, tf.ones_like(labels, tf.bool)), last

    def _weighted_loss(self, logits, labels, sample_weights=None):
        """The loss of each example, [batch], times its weight and that of its class, if there are any."""
        loss = self._loss(labels, _loss_precision(logits))
        for weights in self._class_weights:
            loss *= tf.cast(tf.gather(weights, labels), loss.dtype)
        return loss if sample_weights is None else loss * tf.cast(sample_weights, loss.dtype)

    def _overwrite(self):
        """Sets the weights to their averages every `ema_overwrite_frequency` steps, outside of a replica's step.

        A step that the loss scaler skips does not count. After such a step the weights may be overwritten a second time,
        which changes nothing.
        """
        if not self._overwrite_frequency:
            return

        def overwrite():
            self.optimizer.finalize_variable_values(self.model.trainable_variables)
            return tf.constant(True)

        done = tf.convert_to_tensor(self._inner_optimizer.iterations)
        due = (done > 0) & (done % self._overwrite_frequency == 0)
        tf.cond(due, overwrite, lambda: tf.constant(False))

    def _norms(self, gradients, needed):
        """Global norms of gradients and weights if `needed`, otherwise zeros: they are reported once a block."""

        def norms():
            gradient = tf.cast(tf.linalg.global_norm(gradients), tf.float32)
            if self.optimizer is not self._inner_optimizer:
                gradient /= tf.cast(self.optimizer.dynamic_scale, tf.float32)
            weights = [variable.value for variable in self.model.trainable_variables]
            return gradient, tf.cast(tf.linalg.global_norm(weights), tf.float32)

        return tf.cond(needed, norms, lambda: (tf.constant(0.0), tf.constant(0.0)))

    def _eval_steps(self, images, labels, mask):
        """A block of evaluation batches: returns `Totals`, and of `_eval_step` the rest, [steps, batch, ...]."""
        local = self._devices.experimental_local_results
        steps = tf.shape(local(labels)[0])[0]

        def step(i, totals, *arrays):
            per_replica = self._devices.run(self._eval_step, args=(images, labels, mask, i))
            written = [
                array.write(i, tf.concat(local(value), 0)) for array, value in zip(arrays, per_replica[1:], strict=True)
            ]
            return i + 1, totals.plus(self._sum_over_local(per_replica[0])), *written

        kinds = (tf.int32, tf.float32, tf.float32)[: 3 if self._gathers_logits else 2]
        arrays = [tf.TensorArray(dtype, size=steps) for dtype in kinds]
        _, totals, *arrays = tf.while_loop(lambda i, *_: i < steps, step, (tf.constant(0), self._no_totals(), *arrays))
        totals = Totals(*tf.unstack(self.collectives.over_workers(tf.stack(totals))))
        return totals, *(array.stack() for array in arrays)

    def _eval_step(self, images, labels, mask, i):
        logits = self.model(self._inputs(images[i]), training=False)
        loss = self._loss(labels[i], _loss_precision(logits))
        single = tf.cast(logits, tf.float32)
        totals = self._totals(loss, logits, labels[i], mask[i])
        predictions = tf.argmax(logits, -1, tf.int32), tf.reduce_max(tf.nn.softmax(single), -1)
        return totals, *predictions, *([single] if self._gathers_logits else [])

    def _inputs(self, images):
        """Returns what the model is given: images in [0, 1], normalised if they are to be."""
        return scaled(images, self._dtype, self._normalization)

    def _totals(self, loss, logits, labels, mask) -> Totals:
        """The totals over the examples in the mask; loss, labels and mask are [batch]."""
        correct = tf.equal(tf.argmax(logits, -1, tf.int32), labels)
        values = tf.cast(loss, self._sum_dtype), tf.cast(correct, self._sum_dtype), tf.ones_like(loss, self._sum_dtype)
        return Totals(*(tf.reduce_sum(tf.where(mask, value, 0)) for value in values))

    def _no_totals(self) -> Totals:
        return Totals(*[tf.zeros([], self._sum_dtype)] * 3)

    def _sum_over_local(self, totals) -> Totals:
        """Sums the totals of this worker's replicas."""
        return Totals(*(tf.add_n(self._devices.experimental_local_results(value)) for value in totals))


def _sum_no_gradients(optimizer, replicas: int) -> None:
    """Keeps Keras from summing gradients across replicas: those that `_train_step` applies are sums already.

    Raises:
      UserError: Keras no longer sums them in the method that is replaced here, and would sum them a second time.
    """
    if replicas > 1 and not hasattr(optimizer, '_all_reduce_sum_gradients'):
        raise UserError(
            f'Keras {keras.__version__} sums gradients in a way that is not known here: use one replica, or Keras 3.15'
        )
    optimizer._all_reduce_sum_gradients = list


def _numbers(tensors: Iterable[tf.Tensor]) -> list[float]:
    return [tensor.numpy().item() for tensor in tensors]


def _padded(x, steps: int):
    """Appends zeros to a block of fewer steps."""
    return tf.concat([x, tf.zeros([steps - len(x), *x.shape[1:]], x.dtype)], 0)


def _loss_precision(logits):
    """Logits in the precision of the loss: under a mixed policy they have 16 bits, and the loss needs 32."""
    return logits if logits.dtype == tf.float64 else tf.cast(logits, tf.float32)
