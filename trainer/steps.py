"""The compiled training and evaluation steps, one loop for every strategy.

Keras 3's own `fit` fails on two workers, so the loop is here: each replica computes the gradients of its share of the
global batch, the shares are summed across replicas, and each replica applies the same update. Many steps run in one
compiled call, and no metric leaves the device, nor crosses workers, before the call ends.
"""

import dataclasses
import functools
import operator
import threading

import keras
import numpy as np
import tensorflow as tf

from trainer import losses, models, optimizers
from trainer.images import Outcomes, outcomes

#: Random numbers in the step. What TensorFlow takes where nothing is said needs 58 ms for 200 x 784 of them under XLA on
#: one CPU thread, where Philox needs 0.5 (and no more than Philox for 128 x 512).
RNG = 'philox'


@dataclasses.dataclass(frozen=True)
class TrainStats:
    """What one call of training steps reports."""

    loss: float  # mean over the examples of the call
    accuracy: float
    learning_rate: float  # as the last step used it
    gradient_norm: float  # global norm of the last step's gradient, before clipping
    weight_norm: float  # global norm of the weights that it was taken at
    stop: bool  # some worker asked to stop


class Program:
    """Model, optimizer and the compiled steps of one run.

    Attributes:
      model: the Keras model, images in [0, 1] -> logits.
      optimizer: the Keras optimizer, built.
      workers: number of worker processes.
    """

    def __init__(
        self, config, strategy, image_shape: tuple[int, int, int], classes: int, *, total_steps: int, warmup_steps: int
    ):
        self._strategy = strategy
        self._image_shape, self._classes = image_shape, classes
        self._total_steps, self._warmup_steps = total_steps, warmup_steps
        self._replicas = strategy.num_replicas_in_sync
        self._local_replicas = len(strategy.extended.worker_devices)
        self.workers = self._replicas // self._local_replicas
        self._batch = config.global_batch_size
        self._loss = losses.LOSSES[config.loss.name]
        self._smoothing = config.loss.label_smoothing
        # Sums are kept in float64; TPUs have none.
        self._sum_dtype = tf.float32 if isinstance(strategy, tf.distribute.TPUStrategy) else tf.float64
        with strategy.scope():
            self.model, self.optimizer = self._make(config)
            self.optimizer.build(self.model.trainable_variables)
        self._inner_optimizer = getattr(self.optimizer, 'inner_optimizer', self.optimizer)
        # The gradients that `_train_step` applies are summed over replicas already; Keras would sum them once more.
        self._inner_optimizer._all_reduce_sum_gradients = list
        self._draws = _Draws(self.model, self._replicas)
        self._one_device = isinstance(strategy, tf.distribute.OneDeviceStrategy)
        jit = use_xla(config, strategy) or None
        if self._one_device:
            self._train = tf.function(self._train_steps, jit_compile=jit, autograph=False)
        else:
            self._step = tf.function(self._train_step, jit_compile=jit, autograph=False) if jit else self._train_step
            self._train = tf.function(self._train_block)
        self._evaluate = tf.function(lambda iterator: self._eval_steps(*next(iterator)))
        self._evaluate_steps = tf.function(self._eval_steps, autograph=False)
        self._predict = tf.function(lambda iterator: self._predict_steps(*next(iterator)))
        self._predict_blocks = tf.function(self._predict_steps, autograph=False)
        self._longest = 0

    def reset(self, config) -> None:
        """Makes this the program of another run, with nothing compiled anew.

        Args:
          config: differs from this program's in its seed, and in the learning rate where that is constant, alone.
        """
        with self._strategy.scope():
            model, optimizer = self._make(config)
            optimizer.build(model.trainable_variables)
        fresh = [variable.value for variable in model.weights + optimizer.variables]
        for mine, other in zip(self.variables, fresh, strict=True):
            mine.assign(other)
        for layer, other in zip(self.model.layers, model.layers, strict=True):
            for seeded in {'kernel_initializer', 'seed'} & vars(layer).keys():  # what model.keras says of it
                setattr(layer, seeded, getattr(other, seeded))

    def _make(self, config):
        model = models.build(config, self._image_shape, self._classes, self._replicas)
        steps = self._total_steps, self._warmup_steps
        return model, optimizers.build(config.optimizer, config.schedule, *steps, config.precision)

    @property
    def variables(self) -> list[tf.Variable]:
        """All that training changes: weights, moving averages, optimizer state."""
        return [variable.value for variable in self.model.weights + self.optimizer.variables]

    def train(self, iterator, seed: int, first_step: int, stop: bool = False) -> TrainStats:
        """Trains one block of the iterator of `pipeline.train_blocks`. `stop`: this worker wants to end after it."""
        if self._one_device:
            images, labels = next(iterator)
            steps = len(labels)
            # Blocks shorter than the first are padded to its length, and not compiled anew.
            self._longest = max(self._longest, steps)
            if steps < self._longest:
                images, labels = (_padded(x, self._longest) for x in (images, labels))
            sums = self._train(images, labels, tf.constant(steps), tf.constant(seed), tf.constant(first_step)).numpy()
            loss, correct, count, learning_rate, gradient, weight = sums.tolist()
            return TrainStats(loss / count, correct / count, learning_rate, gradient, weight, stop)
        sums, learning_rate, norms = self._train(
            iterator, tf.constant(seed), tf.constant(first_step), tf.constant(stop)
        )
        loss, correct, count, stops = sums.numpy()
        gradient, weight = norms.numpy().tolist()
        return TrainStats(loss / count, correct / count, float(learning_rate), gradient, weight, stops > 0)

    def evaluate(self, iterator, blocks: int) -> tuple[float, float, int]:
        """Returns mean loss, accuracy and number of examples over the blocks of `pipeline.eval_blocks`."""
        if self._one_device:
            sums = sum(self._evaluate_steps(*next(iterator)).numpy() for _ in range(blocks))
        else:
            sums = sum(self._evaluate(iterator).numpy() for _ in range(blocks))
        loss, correct, count = sums.tolist()
        return loss / count, correct / count, round(count)

    def predict(self, iterator, blocks: int) -> tuple[float, float, int, Outcomes]:
        """As `evaluate`, and what became of the examples: all, or on several workers this one's."""
        total, examples = np.zeros(3), []
        for _ in range(blocks):
            sums, *block = self._predict_blocks(*next(iterator)) if self._one_device else self._predict(iterator)
            total += sums.numpy()
            images, *rest = (np.asarray(x).reshape(-1, *x.shape[2:]) for x in block)  # `numpy` copies, a millisecond
            examples.append(outcomes(images, *rest, classes=self._classes))
        loss, correct, count = total.tolist()
        return loss / count, correct / count, round(count), functools.reduce(operator.add, examples)

    def _train_steps(self, images, labels, steps, seed, first_step):
        """The first `steps` steps of a block on one device: [the three sums, last learning rate, last two norms].

        The loop itself is compiled too: entering a compiled step takes 30 us, where a small step takes 150.
        """

        def step(i, sums, learning_rate, norms):
            last = tf.equal(i + 1, steps)
            args = (images[i], labels[i], seed, first_step + i, last)
            more, learning_rate, norms = self._strategy.run(self._train_step, args=args)
            return i + 1, sums + more, learning_rate, norms

        start = (tf.constant(0), tf.zeros([3], self._sum_dtype), tf.constant(0.0), tf.zeros([2]))
        _, sums, learning_rate, norms = tf.while_loop(lambda i, *_: i < steps, step, start)
        return tf.concat([sums, tf.cast(tf.concat([[learning_rate], norms], 0), self._sum_dtype)], 0)

    def _train_block(self, iterator, seed, first_step, stop):
        images, labels = next(iterator)
        steps = tf.shape(self._strategy.experimental_local_results(labels)[0])[0]
        sums = tf.zeros([3], self._sum_dtype)
        learning_rate, norms = tf.constant(0.0), tf.zeros([2])
        for i in tf.range(steps):
            per_replica = self._strategy.run(self._replica_step, args=(images, labels, i, seed, first_step + i))
            local = [self._strategy.experimental_local_results(value) for value in per_replica]
            sums += tf.add_n(local[0])
            learning_rate, norms = local[1][0], local[2][0]
        sums = tf.concat([sums, [tf.cast(stop, sums.dtype)]], 0)
        return self._sum_over_workers(sums), learning_rate, norms

    def _replica_step(self, images, labels, i, seed, step):
        # Sliced out here: XLA would compile the slice, and so the step, anew for each length of block.
        return self._step(images[i], labels[i], seed, step, tf.constant(True))

    def _train_step(self, images, labels, seed, step, want_norms):
        """One step of one replica on its share of a global batch, images as `_scaled` takes them and int32 labels."""
        with tf.GradientTape() as tape, self._draws.at(seed, step):
            logits = self.model(_scaled(images, self.model), training=True)
            loss = self._loss(labels, _full(logits), self._smoothing)
            mean = tf.reduce_sum(loss) / self._batch  # the share in the mean over the global batch
            scaled = self.optimizer.scale_loss(mean)
        gradients = self._sum_over_replicas(tape.gradient(scaled, self.model.trainable_variables))
        learning_rate = tf.cast(self._inner_optimizer.learning_rate, tf.float32)
        norms = tf.cond(want_norms, lambda: self._norms(gradients), lambda: tf.zeros([2]))
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return self._sums(loss, logits, labels, tf.ones_like(labels, tf.bool)), learning_rate, norms

    def _norms(self, gradients):
        """Global norms of the gradients, before clipping and without the loss's scale, and of the weights."""
        norm = tf.cast(tf.linalg.global_norm(gradients), tf.float32)
        if self.optimizer is not self._inner_optimizer:
            norm /= tf.cast(self.optimizer.dynamic_scale, tf.float32)
        weights = [variable.value for variable in self.model.trainable_variables]
        return tf.stack([norm, tf.cast(tf.linalg.global_norm(weights), tf.float32)])

    def _eval_steps(self, images, labels, mask):
        """Sums over a block of evaluation batches."""
        sums = tf.zeros([3], self._sum_dtype)
        steps = tf.shape(self._strategy.experimental_local_results(labels)[0])[0]

        def step(i, sums):
            per_replica = self._strategy.run(self._eval_step, args=(images, labels, mask, i))
            return i + 1, sums + tf.add_n(self._strategy.experimental_local_results(per_replica))

        _, sums = tf.while_loop(lambda i, _: i < steps, step, (tf.constant(0), sums))
        return self._sum_over_workers(sums)

    def _predict_steps(self, images, labels, mask):
        """As `_eval_steps`, with images, labels, mask, predicted class and its probability, all [steps, batch, ...]."""
        local = self._strategy.experimental_local_results
        steps = tf.shape(local(labels)[0])[0]

        def step(i, sums, predicted, confidence):
            args = (images, labels, mask, i, True)
            parts = [local(value) for value in self._strategy.run(self._eval_step, args=args)]
            predicted, confidence = (
                array.write(i, tf.concat(part, 0))
                for array, part in zip((predicted, confidence), parts[1:], strict=True)
            )
            return i + 1, sums + tf.add_n(parts[0]), predicted, confidence

        arrays = [tf.TensorArray(dtype, size=steps) for dtype in (tf.int32, tf.float32)]
        start = (tf.constant(0), tf.zeros([3], self._sum_dtype), *arrays)
        _, sums, predicted, confidence = tf.while_loop(lambda i, *_: i < steps, step, start)
        examples = [tf.concat(local(x), 1) for x in (images, labels, mask)]
        return self._sum_over_workers(sums), *examples, predicted.stack(), confidence.stack()

    def _eval_step(self, images, labels, mask, i, predict=False):
        logits = self.model(_scaled(images[i], self.model), training=False)
        loss = self._loss(labels[i], _full(logits), self._smoothing)
        sums = self._sums(loss, logits, labels[i], mask[i])
        if not predict:
            return sums
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        return sums, tf.argmax(logits, -1, tf.int32), tf.reduce_max(probabilities, -1)

    def _sums(self, loss, logits, labels, mask):
        """[sum of losses, number of correct predictions, number of examples] over those in the mask."""
        correct = tf.equal(tf.argmax(logits, -1, tf.int32), labels)
        loss = tf.where(mask, tf.cast(loss, self._sum_dtype), 0)
        return tf.stack(
            [
                tf.reduce_sum(loss),
                tf.reduce_sum(tf.cast(correct & mask, self._sum_dtype)),
                tf.reduce_sum(tf.cast(mask, self._sum_dtype)),
            ]
        )

    def _sum_over_replicas(self, gradients):
        """Sums gradients across replicas as one vector: one collective a step, whatever the number of tensors."""
        if self._replicas == 1:
            return gradients
        flat = tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], 0)
        flat = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, flat)
        parts = tf.split(flat, [gradient.shape.num_elements() for gradient in gradients])
        return [tf.reshape(part, gradient.shape) for part, gradient in zip(parts, gradients, strict=True)]

    def _sum_over_workers(self, sums):
        """Sums a worker's totals over all workers; on one worker, returns them."""
        if self.workers == 1:
            return sums

        def share(sums):
            context = tf.distribute.get_replica_context()
            first_local = context.replica_id_in_sync_group % self._local_replicas == 0
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first_local, sums, tf.zeros_like(sums)))

        return self._strategy.experimental_local_results(self._strategy.run(share, args=(sums,)))[0]


def use_xla(config, strategy) -> bool:
    """Whether the training step is compiled by XLA.

    'auto', from measurements on 2 CPU cores: XLA trains dense networks 1.3 to 2 times as fast and convolutional ones at a
    third of the speed; on several logical CPUs it fails, and TPUs compile everything anyway.
    """
    if config.jit != 'auto':
        return config.jit == 'on'
    on_cpu = not tf.config.list_logical_devices('GPU')
    return isinstance(strategy, tf.distribute.OneDeviceStrategy) and not (on_cpu and config.model.name == 'cnn')


def _padded(x, steps: int):
    """Appends zeros to a block of fewer steps."""
    return tf.concat([x, tf.zeros([steps - len(x), *x.shape[1:]], x.dtype)], 0)


def _scaled(images, model):
    """Images in [0, 1] in the dtype that the model takes: uint8 is divided by 255, and float32 is in [0, 1] already."""
    scaled = tf.cast(images, model.compute_dtype if model.compute_dtype == 'float64' else 'float32')
    return scaled / 255 if images.dtype == tf.uint8 else scaled


def _full(logits):
    """Logits in the loss's precision: under a mixed policy they come in 16 bits, and the loss wants 32."""
    return logits if logits.dtype == tf.float64 else tf.cast(logits, tf.float32)


class _Draws:
    """Makes the dropout masks of a model a function of (seed, layer, step, replica).

    Keras's seed generators count their calls in a variable that is the same on all replicas: all would drop the same
    units, and a resumed run would have to restore the count. Here the generators of the model's layers are asked for
    nothing but what this step on this replica is to draw.
    """

    def __init__(self, model: keras.Model, replicas: int):
        self._now = threading.local()  # replicas of a MirroredStrategy are traced in threads of their own
        self._replicas = replicas
        layers = [layer for layer in model.layers if hasattr(layer, 'seed_generator')]
        for number, layer in enumerate(layers):
            layer.seed_generator.next = lambda ordered=True, number=number: self._draw(number)
            if isinstance(layer, keras.layers.Dropout):
                layer.call = functools.partial(_dropout, layer)

    def at(self, seed, step):
        """Returns a context in which layers draw for this step."""
        self._now.seed, self._now.step = seed, step
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        del self._now.seed, self._now.step

    @staticmethod
    def replica():
        """The replica that is running, int32."""
        return tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)

    def _draw(self, number: int):
        # Two draws: the layer's stream of this seed, then this step and replica in it.
        bits = functools.partial(tf.random.stateless_uniform, [2], minval=None, maxval=None, dtype=tf.int32, alg=RNG)
        stream = bits(tf.stack([self._now.seed, number]))
        return bits(tf.bitwise.bitwise_xor(stream, tf.stack([self._now.step, self.replica()])))


def _dropout(layer: keras.layers.Dropout, inputs, training: bool = False):
    """Keras's own dropout with another generator of random numbers."""
    if not training or not layer.rate:
        return inputs
    seed = layer.seed_generator.next()
    return tf.nn.experimental.stateless_dropout(inputs, layer.rate, seed, RNG, layer.noise_shape)
