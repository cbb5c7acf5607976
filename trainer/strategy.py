"""config + cluster -> tf.distribute.Strategy. The one place where devices are chosen."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context  # there is no public way to the time in `_multi_worker`

from data_pipeline.pipeline import Part
from seedwise import machine
from seedwise.errors import UserError
from trainer.cluster import Cluster, start_seconds, tpu_address
from trainer.cluster.meeting import lost_worker
from trainer.config.check import check_batch, check_cluster

#: Replicas that one CPU is split into: each is compiled by itself, so more would take minutes to start.
MOST_CPU_DEVICES = 64

OTHER_CONFIG = (
    'has another config than worker 0, or other files that the config names: start all workers with the same command and '
    'the same files'
)


def start(config, cluster: Cluster | None) -> tf.distribute.Strategy:
    """Starts TensorFlow's devices as the config asks for them and returns the strategy that uses them.

    To be called once in a process, before any other use of TensorFlow: threads and logical devices are fixed by the first.

    Raises:
      UserError: the devices or the cluster that the strategy needs are missing, or they do not divide the batch.
    """
    check_cluster(config, cluster)
    name = _choose(config, cluster)
    if name == 'tpu':
        strategy = _tpu(config)
    else:
        tf.config.experimental.enable_op_determinism()  # promise 1: bit for bit the same weights
        set_threads(config.threads)
        workers = len(cluster.addresses) if cluster and name == 'multi_worker' else 1
        devices = _devices(config, workers)
        if cluster and name == 'multi_worker':
            strategy = _multi_worker(cluster, devices)
        elif name == 'mirrored' or (name == 'auto' and len(devices) > 1):
            strategy = tf.distribute.MirroredStrategy(devices)
        else:
            strategy = tf.distribute.OneDeviceStrategy(devices[0])
    replicas = strategy.num_replicas_in_sync
    if config.replicas and replicas != config.replicas:
        raise UserError(f'replicas is {config.replicas}, but strategy {name} has {replicas} here')
    check_batch(config, replicas)
    return strategy


#: What TensorFlow raises when another worker does not answer.
_PEERS_FAIL = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
)


@contextlib.contextmanager
def lost_worker_explained(cluster: Cluster | None) -> Iterator[None]:
    """Makes a `LostWorker` of what TensorFlow raises when another worker does not answer; None: there is no other."""
    try:
        yield
    except tf.errors.OpError as error:
        if cluster and (isinstance(error, _PEERS_FAIL) or 'Collective ops is aborted' in error.message):
            raise lost_worker(cluster, error.message) from error
        raise


@contextlib.contextmanager
def determinism_explained() -> Iterator[None]:
    """Makes a `UserError` of what TensorFlow raises for an operation that has no deterministic implementation.

    On GPUs these are some thirty, such as the gradient of tf.image.resize with nearest neighbours; in XLA, on CPUs too, the
    gradient of max pooling. Some are found out only when they are first run.
    """
    try:
        yield
    except (tf.errors.UnimplementedError, tf.errors.FailedPreconditionError) as error:
        said = next((line for line in error.message.splitlines() if 'determinis' in line.lower()), '')
        if not said:
            raise
        sentence = re.sub(r'\{\{.*?\}\}|\[Op:.*', '', said).split('. ')[0].strip().rstrip('.')
        node = re.search(r'\{\{node (\S+?)\}\}', error.message)
        by_xla = 'XLA' in said or 'HLO' in said
        remedy = (
            'use --config.jit=off'
            if by_xla
            else "put another operation in its place, or train on the CPU (CUDA_VISIBLE_DEVICES='')"
        )
        where = f' (at {node[1]})' if node else ''
        raise UserError(f'{sentence}{where}, and a run must end with the same weights each time: {remedy}') from error


def check_agreement(
    strategy: tf.distribute.Strategy, cluster: Cluster, digest: str, differs: str = OTHER_CONFIG
) -> None:
    """Raises `UserError` on every worker if the workers were started with different configs or files.

    Args:
      strategy: of several workers, each of which must call this.
      cluster: those workers.
      digest: hexadecimal hash of what must be the same.
      differs: what is said of a worker with another hash.
    """
    share = [int(digest[i : i + 7], 16) for i in range(0, 28, 7)]
    own = np.zeros((len(cluster.addresses), len(share)), 'int32')
    own[cluster.index] = share
    local = local_replicas(strategy)
    gather = tf.function(lambda numbers: sum_over_workers(strategy, local, numbers))
    everybody = gather(tf.constant(own)).numpy()
    others = [i for i in range(1, len(everybody)) if (everybody[i] != everybody[0]).any()]
    if others:
        raise UserError(f'worker {others[0]} ({cluster.addresses[others[0]]}) {differs}')


def check_same_data(strategy: tf.distribute.Strategy, cluster: Cluster | None, function: str, fingerprint: str) -> None:
    """Raises `UserError` on every worker if a function of the user's own, FILE.py:NAME, gave the workers different data."""
    if cluster and name_of(strategy) == 'multi_worker':
        differs = f'was given other data by {function} than worker 0: it must return the same on every worker'
        check_agreement(strategy, cluster, fingerprint, differs)


def name_of(strategy: tf.distribute.Strategy) -> str:
    """Returns the config's name for a strategy."""
    kinds = {
        tf.distribute.TPUStrategy: 'tpu',
        tf.distribute.MultiWorkerMirroredStrategy: 'multi_worker',
        tf.distribute.MirroredStrategy: 'mirrored',
    }
    return next((name for kind, name in kinds.items() if isinstance(strategy, kind)), 'one_device')


def local_replicas(strategy: tf.distribute.Strategy) -> int:
    """Returns the number of replicas in this process."""
    numbers = strategy.run(lambda: tf.distribute.get_replica_context().replica_id_in_sync_group)
    return len(strategy.experimental_local_results(numbers))


def sum_over_workers(strategy: tf.distribute.Strategy, local: int, numbers: tf.Tensor) -> tf.Tensor:
    """Returns the sum over all workers of a tensor that each has. For use in a compiled function that all of them call.

    Args:
      strategy: of the workers.
      local: `local_replicas` of it: the first of them speaks for its worker.
      numbers: this worker's.
    """

    def share(numbers):
        context = tf.distribute.get_replica_context()
        first_local = context.replica_id_in_sync_group % local == 0
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first_local, numbers, tf.zeros_like(numbers)))

    return strategy.experimental_local_results(strategy.run(share, args=(numbers,)))[0]


def distribute(strategy: tf.distribute.Strategy, blocks: Callable[[Part], tf.data.Dataset]):
    """Returns an iterable of per-replica blocks, from a function that makes the dataset for a part of the replicas."""
    replicas = strategy.num_replicas_in_sync
    if local_replicas(strategy) == 1 and not tf.config.list_logical_devices('GPU'):
        # Not through `distribute_datasets_from_function`: while its iterator exists, even idle, everything else in the
        # process takes twice as long (an epoch of 784-128-10 0.32 s instead of 0.16 s, on 2 cores).
        resolver = strategy.cluster_resolver
        return blocks(Part(replicas, resolver.task_id if resolver and replicas > 1 else 0))

    def for_pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = replicas // context.num_input_pipelines
        return blocks(Part(replicas, context.input_pipeline_id * local, local))

    return strategy.distribute_datasets_from_function(for_pipeline)


def set_threads(threads: int) -> None:
    """Fixes the number of CPU threads of the process; 0 leaves one for each core that it may use."""
    # TensorFlow's own choice knows of CPU affinity, but not of a container's quota.
    if not threads and machine.cores_are_limited_by_quota():
        threads = machine.cores()
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def _choose(config, cluster: Cluster | None) -> str:
    if config.strategy != 'auto':
        return config.strategy
    if config.tpu or tpu_address():
        return 'tpu'
    return 'multi_worker' if cluster else 'auto'


def _devices(config, workers: int) -> list[str]:
    """Returns this worker's devices; without a GPU, splits the CPU if there are several replicas."""
    gpus = tf.config.list_physical_devices('GPU')
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    count = config.replicas // workers
    if config.strategy == 'one_device':
        count = 1
    if gpus:
        if count > len(gpus):
            raise UserError(f'replicas is {config.replicas}, but each worker has {len(gpus)} GPUs')
        return [f'GPU:{i}' for i in range(count or len(gpus))]
    count = count or 1
    if count > MOST_CPU_DEVICES:
        raise UserError(f'replicas is {config.replicas}: without GPUs it may be {MOST_CPU_DEVICES * workers} here')
    if count > 1:
        cpu = tf.config.list_physical_devices('CPU')[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    return [f'CPU:{i}' for i in range(count)]


def _multi_worker(cluster: Cluster, devices: list[str]) -> tf.distribute.Strategy:
    if len(devices) > 1 and devices[0].startswith('CPU'):
        raise UserError(
            'strategy multi_worker uses one CPU device a worker: set replicas to the number of workers, or 0'
        )
    # Our own reading of the environment is what counts, whichever engine set it.
    os.environ['TF_CONFIG'] = json.dumps(
        {'cluster': {'worker': list(cluster.addresses)}, 'task': {'type': 'worker', 'index': cluster.index}}
    )
    implementation = tf.distribute.experimental.CommunicationImplementation
    gpus = devices[0].startswith('GPU')
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=implementation.NCCL if gpus else implementation.RING
    )
    # As the strategy does it, except for the time: it would wait for an hour if another worker died during start-up, in
    # a call that lets no other thread of Python run. The barrier has worker 0 wait no longer than the others.
    context.context().configure_coordination_service(
        service_type='standalone',
        service_leader='/job:worker/replica:0/task:0',
        coordinated_jobs=[
            context.coordination_config_pb2.CoordinatedJob(name='worker', num_tasks=len(cluster.addresses))
        ],
        cluster_register_timeout_in_ms=1000 * start_seconds(),
    )
    context.context().coordination_service.cluster_register_with_barrier = True
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def _tpu(config) -> tf.distribute.Strategy:
    """Written after TensorFlow's TPU guide; not run: no TPU was at hand."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=config.tpu or tpu_address() or 'local')
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, OSError, tf.errors.OpError, ImportError) as error:  # OSError: nobody knows a TPU of that name
        why = str(getattr(error, 'reason', error)).strip().splitlines()[0]  # URLError's own text is a Python literal
        raise UserError(
            f'no TPU is available: {why}: use --config.strategy=auto, or name one with --config.tpu'
        ) from error
