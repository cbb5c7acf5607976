"""Runs a command on Kubernetes: `python -m launch kubernetes --image=IMAGE [FLAG...] -- COMMAND ARG...`

    --image=IMAGE    made from the Dockerfile and pushed to where the cluster pulls from
    --workers=N      one run on N pods (default 1); more than one is a JobSet, which starts all again when one fails
    --shards=N       one study on N pods, each with its --shard: an Indexed Job
    --cpu=4 --memory=8Gi --gpus=0    of each pod
    --volume=NAME    a PersistentVolumeClaim for runs/ and data sets (default seedwise); several pods need ReadWriteMany
    --restarts=N     times that a failed pod, or all workers together, are started again (default 10)
    --name=NAME --namespace=NAME
    --submit         hands the manifest to `kubectl create` instead of printing it

Exit codes 2 (a mistake in the command) and 3 (the training diverged) never lead to a restart.
"""

import re
from collections.abc import Sequence

from launch import script
from launch.manifests import Text, to_yaml
from seedwise.errors import UserError

EXAMPLE = (
    'python -m launch kubernetes --image=IMAGE --workers=2 -- python -m trainer.main --config=configs/cnn_nadam.py'
)
PORT = 2222
FOLDER = '/app'  # WORKDIR in the Dockerfile
USER = 1000  # USER in the Dockerfile


def main(argv: list[str]) -> int:
    """Prints or submits the manifest; returns the exit code."""
    options, command = parse(argv)
    manifest = manifest_of(options, command)
    text = to_yaml(manifest)
    if not options.submit:
        print(text, end='')
        return 0
    print(script.submit(['kubectl', 'create', '--filename=-'], text), end='')
    kind, place = manifest['kind'].lower(), f' --namespace={options.namespace}' if options.namespace else ''
    selector = 'jobset.sigs.k8s.io/jobset-name' if kind == 'jobset' else 'batch.kubernetes.io/job-name'
    name = manifest['metadata']['name']
    print(
        f'follow:   kubectl logs --follow --prefix --selector={selector}={name}{place}\n'
        f'stop:     kubectl delete {kind} {name}{place}\n'
        f'continue: stop, then the same command again: finished work is kept in the volume {options.volume}'
    )
    return 0


def parse(argv: list[str]):
    """Returns the flags and the command. Raises `UserError` where one of them cannot be used."""
    parser = script.Parser(__doc__, EXAMPLE)
    parser.add_argument('--image', type=script.image, required=True)
    count = parser.add_mutually_exclusive_group()
    count.add_argument('--workers', type=script.whole_number(1, 10_000), default=1)
    count.add_argument('--shards', type=script.whole_number(1, 10_000))
    parser.add_argument('--cpu', type=script.matching(r'\d+(\.\d+)?|\d+m', '4 or 500m'), default='4')
    parser.add_argument('--memory', type=script.matching(r'\d+(\.\d+)?[KMGT]i?', '8Gi'), default='8Gi')
    parser.add_argument('--gpus', type=script.whole_number(0, 64), default=0)
    parser.add_argument(
        '--volume', type=script.matching('[a-z0-9]([-.a-z0-9]*[a-z0-9])?', 'seedwise'), default='seedwise'
    )
    parser.add_argument('--restarts', type=script.whole_number(0, 1_000_000), default=10)
    parser.add_argument('--name', type=script.named)
    parser.add_argument('--namespace', type=script.named)
    parser.add_argument('--submit', action='store_true')
    options, command = parser.parse(argv)
    if options.shards and 'trainer.compare' not in command:
        raise UserError('--shards is for a study, -- python -m trainer.compare ...; --workers=N is for one run')
    if options.shards and any(re.match(r'--?shard\b', word) for word in command):
        raise UserError('--shards gives each pod a --shard of its own: leave --shard out of the command')
    script.check_unicode(command, 'a manifest')
    return options, command


def manifest_of(options, command: Sequence[str]) -> dict:
    """Returns a JobSet for several workers, else a Job."""
    name = options.name or script.name_of(command)
    metadata = {'name': name, 'labels': {'app.kubernetes.io/name': 'seedwise'}}
    if options.namespace:
        metadata['namespace'] = options.namespace
    words = [word.replace('$', '$$') for word in command]  # Kubernetes replaces $(NAME), and $$ by $
    if options.shards:
        words.append(f'--shard=$(JOB_COMPLETION_INDEX)/{options.shards}')
    pods = options.shards or options.workers
    # In the order of the indices, and stable: a pod that is started again has the same name.
    hosts = [f'{name}-worker-0-{index}.{name}:{PORT}' for index in range(pods)]
    multi_worker = options.workers > 1
    job = {
        'completionMode': 'Indexed',
        'completions': pods,
        'parallelism': pods,
        'podFailurePolicy': {'rules': [_on_exit_code('FailJob', 2, 3)]},
        'template': {'spec': _pod(options, words, hosts if multi_worker else [])},
    }
    if not multi_worker:
        # 75: stopped and saved; DisruptionTarget: evicted. Neither is the command's fault.
        evicted = {'action': 'Ignore', 'onPodConditions': [{'type': 'DisruptionTarget', 'status': 'True'}]}
        job['podFailurePolicy']['rules'] += [_on_exit_code('Ignore', 75), evicted]
        spec = {**job, 'backoffLimitPerIndex': options.restarts}
        return {'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': metadata, 'spec': spec}
    spec = {
        'failurePolicy': {
            'maxRestarts': options.restarts,
            'rules': [{'name': 'final', 'action': 'FailJobSet', 'onJobFailureReasons': ['PodFailurePolicy']}],
        },
        'network': {'enableDNSHostnames': True, 'publishNotReadyAddresses': True},
        # Any pod that fails fails the job, and with it the set: the others cannot go on without it.
        'replicatedJobs': [{'name': 'worker', 'replicas': 1, 'template': {'spec': {**job, 'backoffLimit': 0}}}],
    }
    return {'apiVersion': 'jobset.x-k8s.io/v1alpha2', 'kind': 'JobSet', 'metadata': metadata, 'spec': spec}


def _pod(options, words: Sequence[str], hosts: Sequence[str]) -> dict:
    """Returns a pod that the `restricted` Pod Security Standard admits. `hosts`: of a multi-worker run."""
    environment = {'HOME': '/tmp', 'TFDS_DATA_DIR': f'{FOLDER}/runs/data'}
    if hosts:
        environment |= {'SEEDWISE_WORKERS': str(len(hosts)), 'SEEDWISE_HOSTS': ','.join(hosts)}
    resources = {'requests': {'cpu': options.cpu, 'memory': options.memory}, 'limits': {'memory': options.memory}}
    mounts = [{'name': 'runs', 'mountPath': f'{FOLDER}/runs'}]
    volumes: list[dict] = [{'name': 'runs', 'persistentVolumeClaim': {'claimName': options.volume}}]
    if options.gpus:
        resources['limits'] |= {'nvidia.com/gpu': str(options.gpus)}
        # NCCL shares memory between the GPUs of a pod, more than the default of 64 MiB.
        mounts += [{'name': 'shm', 'mountPath': '/dev/shm'}]
        volumes += [{'name': 'shm', 'emptyDir': {'medium': 'Memory'}}]
    container = {
        'name': 'worker',
        'image': options.image,
        'command': [Text(word) for word in words],
        'workingDir': FOLDER,
        'env': [{'name': key, 'value': Text(value)} for key, value in environment.items()],
        'resources': resources,
        'securityContext': {'allowPrivilegeEscalation': False, 'capabilities': {'drop': ['ALL']}},
        'volumeMounts': mounts,
    }
    if hosts:
        container['ports'] = [{'name': 'grpc', 'containerPort': PORT}]
    return {
        'restartPolicy': 'Never',  # podFailurePolicy requires it: the job makes new pods
        'terminationGracePeriodSeconds': 60,  # from SIGTERM to SIGKILL: time to write a checkpoint
        'securityContext': {
            'runAsNonRoot': True,
            'runAsUser': USER,
            'fsGroup': USER,
            'seccompProfile': {'type': 'RuntimeDefault'},
        },
        'containers': [container],
        'volumes': volumes,
    }


def _on_exit_code(action: str, *codes: int) -> dict:
    return {'action': action, 'onExitCodes': {'containerName': 'worker', 'operator': 'In', 'values': list(codes)}}
