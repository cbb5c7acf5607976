"""What `python -m launch kubernetes` prints is what the API server would take: checked against the real schemas."""

import copy

import jsonschema
import kubernetes_validate
import pytest
import yaml

from launch import kubernetes
from seedwise.errors import UserError
from tests.helpers import NO_TEST_DATA, ROOT, TEST_DATA
from trainer import cluster

CRD = TEST_DATA / 'schemas' / 'jobset-crd.yaml'
TRAIN = ('--', 'python', '-m', 'trainer.main', '--config=configs/cnn_nadam.py')
STUDY = ('--', 'python', '-m', 'trainer.compare', '--study=configs/studies/tuned_optimizers.py')


def manifest(*arguments: str) -> dict:
    """Returns what is printed, as a reader of YAML has it."""
    options, command = kubernetes.parse(['--image=registry/seedwise:1', *arguments])
    return yaml.safe_load(kubernetes.to_yaml(kubernetes.manifest_of(options, command)))


def pod(manifest: dict) -> dict:
    job = manifest['spec']
    if manifest['kind'] == 'JobSet':
        job = job['replicatedJobs'][0]['template']['spec']
    return job['template']['spec']


def strict(schema):
    """Returns an OpenAPI schema that refuses fields it does not know, as the API server warns of them."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: strict(part) for key, part in schema.items()}
    if isinstance(schema.get('properties'), dict) and not schema.get('x-kubernetes-preserve-unknown-fields'):
        schema.setdefault('additionalProperties', False)
    return schema


@pytest.fixture(scope='module')
def jobset():
    """A validator of JobSets."""
    if not CRD.exists():
        pytest.skip(f'{NO_TEST_DATA}schemas/jobset-crd.yaml')
    (version,) = yaml.safe_load(CRD.read_text())['spec']['versions']
    schema = strict(version['schema']['openAPIV3Schema'])
    schema['properties']['metadata'] = {'type': 'object'}
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize('flags', [('--workers=2',), ('--workers=16', '--gpus=8', '--namespace=team', '--name=a')])
def test_several_workers_are_a_valid_jobset(jobset, flags):
    jobset.validate(manifest(*flags, *TRAIN))


@pytest.mark.parametrize('path', [('network', 'subDomain'), ('failurePolicy', 'maxRestart')])
def test_the_check_of_jobsets_sees_a_misspelt_field(jobset, path):
    wrong = copy.deepcopy(manifest('--workers=2', *TRAIN))
    wrong['spec'][path[0]][path[1]] = 'x'
    with pytest.raises(jsonschema.ValidationError):
        jobset.validate(wrong)


@pytest.mark.parametrize(
    'arguments', [TRAIN, ('--gpus=1', *TRAIN), ('--shards=8', '--namespace=team', '--cpu=500m', *STUDY)]
)
def test_a_single_pod_and_a_study_are_valid_jobs(arguments):
    kubernetes_validate.validate(manifest(*arguments), kubernetes_validate.latest_version(), strict=True)


def test_the_pods_of_a_jobset_are_valid_pods():
    """The JobSet's schema, where it is at hand, says so too."""
    one = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'a'}, 'spec': pod(manifest('--workers=2', *TRAIN))}
    kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


def test_every_pod_finds_its_place_among_the_workers():
    name = 'long-enough-a-name-to-be-near-the-limit1'
    environment = {
        item['name']: item['value']
        for item in pod(manifest('--workers=12', f'--name={name}', *TRAIN))['containers'][0]['env']
    }
    for index in (0, 2, 11):
        found = cluster.find(environment | {'JOB_COMPLETION_INDEX': str(index)})
        assert (found.index, len(found.addresses)) == (index, 12)
        host = found.addresses[index].partition(':')[0]
        # <JobSet>-<replicated job>-<index of the job>-<index of the pod>.<subdomain>: a label has 63 characters at most.
        assert host == f'{name}-worker-0-{index}.{name}'
        assert max(map(len, host.split('.'))) <= 63


def test_every_shard_has_its_number():
    assert pod(manifest('--shards=8', *STUDY))['containers'][0]['command'][-1] == '--shard=$(JOB_COMPLETION_INDEX)/8'


def test_pods_are_not_root_and_keep_to_what_they_ask_for():
    spec = pod(manifest('--gpus=2', '--memory=16Gi', *TRAIN))
    (container,) = spec['containers']
    assert spec['securityContext']['runAsNonRoot']
    assert container['securityContext'] == {'allowPrivilegeEscalation': False, 'capabilities': {'drop': ['ALL']}}
    assert container['resources']['requests'] == {'cpu': '4', 'memory': '16Gi'}
    assert container['resources']['limits'] == {'memory': '16Gi', 'nvidia.com/gpu': '2'}


def test_runs_land_in_the_volume():
    (container,) = pod(manifest('--volume=disk', *TRAIN))['containers']
    assert {'name': 'runs', 'mountPath': f'{container["workingDir"]}/runs'} in container['volumeMounts']
    assert f'WORKDIR {container["workingDir"]}\n' in (ROOT / 'Dockerfile').read_text()
    assert f'USER {kubernetes.USER}\n' in (ROOT / 'Dockerfile').read_text()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--workers=2', '--shards=2', *TRAIN), 'not allowed with'),
        (('--shards=2', *TRAIN), 'for a study'),
        (('--shards=2', *STUDY, '--shard=0/2'), 'leave --shard out'),
        (('--memory=lots', *TRAIN), '8Gi'),
        (('--name=Über', *TRAIN), 'at most 40 of a-z'),
        (('--worker=2', *TRAIN), "Did you mean '--workers'"),
        (('--workers=2',), 'no -- before the command'),
        ((*TRAIN, '\udcff'), 'not UTF-8'),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as error:
        manifest(*arguments)
    assert '\n' not in str(error.value)


def test_submit_hands_the_manifest_to_kubectl_and_says_how_to_follow(tmp_path, monkeypatch, capfd):
    """With a stand-in for kubectl: there is no cluster here."""
    kubectl = tmp_path / 'kubectl'
    kubectl.write_text(
        f'#!/bin/sh\n[ "$*" = "create --filename=-" ] && /bin/cat > {tmp_path}/manifest && echo created\n'
    )
    kubectl.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    assert kubernetes.main(['--image=registry/seedwise:1', '--workers=2', '--name=a', '--submit', *TRAIN]) == 0
    assert yaml.safe_load((tmp_path / 'manifest').read_text()) == manifest('--workers=2', '--name=a', *TRAIN)
    said = capfd.readouterr().out
    assert 'created' in said
    assert 'kubectl logs --follow --prefix --selector=jobset.sigs.k8s.io/jobset-name=a\n' in said
    assert 'kubectl delete jobset a\n' in said


def test_without_kubectl_submit_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(UserError, match='cannot start kubectl'):
        kubernetes.main(['--image=i', '--submit', *TRAIN])
