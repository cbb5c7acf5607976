"""Sums and whole arrays across the replicas and workers of a strategy."""

import numpy as np
import tensorflow as tf

from trainer import strategy


class Collectives:
    """What is summed or gathered across replicas and workers.

    Attributes:
      replicas: number of replicas of all workers.
      workers: number of worker processes.
      first: whether this is the first of them.
      sum_dtype: of sums over examples: float64, or float32 on TPUs, which have none.
    """

    def __init__(self, devices: tf.distribute.Strategy):
        self._devices = devices
        self.replicas = devices.num_replicas_in_sync
        self._local_replicas = strategy.local_replicas(devices)
        self.workers = self.replicas // self._local_replicas
        self.first = self.workers == 1 or devices.cluster_resolver.task_id == 0
        self.sum_dtype = tf.float32 if isinstance(devices, tf.distribute.TPUStrategy) else tf.float64

    def over_replicas(self, gradients: list) -> list:
        """Sums gradients across replicas as one vector: one collective a step, whatever the number of tensors."""
        if self.replicas == 1:
            return gradients
        flat = tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], 0)
        flat = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, flat)
        parts = tf.split(flat, [gradient.shape.num_elements() for gradient in gradients])
        return [tf.reshape(part, gradient.shape) for part, gradient in zip(parts, gradients, strict=True)]

    def over_workers(self, sums):
        """Sums a worker's vector over all workers; on one worker, returns it."""
        if self.workers == 1:
            return sums
        return strategy.sum_over_workers(self._devices, self._local_replicas, sums)

    def of_all_workers(self, local: np.ndarray) -> np.ndarray:
        """Returns what all workers have, of numbers of each worker's examples.

        Args:
          local: [batches, examples of this worker in a batch, ...], in the order of the blocks; every worker must call this.
        """
        if self.workers == 1:
            return local
        columns, worker = local.shape[1], self._devices.cluster_resolver.task_id
        whole = np.zeros((len(local), columns * self.workers, *local.shape[2:]), local.dtype)
        whole[:, worker * columns : (worker + 1) * columns] = local
        # What the others have here is 0, which no sum rounds.
        kind = tf.float32 if local.dtype == np.float32 else self.sum_dtype
        summed = tf.function(self.over_workers)(tf.constant(whole.ravel(), kind))
        return summed.numpy().astype(local.dtype).reshape(whole.shape)

    def of_first_worker(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the float64 numbers [n] that the first worker has: others may round theirs otherwise."""
        if self.workers == 1:
            return numbers
        own = tf.constant(numbers if self.first else np.zeros_like(numbers), self.sum_dtype)
        return tf.function(self.over_workers)(own).numpy().astype(np.float64)
