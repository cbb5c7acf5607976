"""Runs a command on Vertex AI as a custom job: `python -m launch vertex --bucket=BUCKET [FLAG...] -- COMMAND ARG...`

    --bucket=BUCKET          of Cloud Storage: takes the source distribution; runs/ and data sets are kept in it
    --workers=N              one run on N machines (default 1): a pool of the chief, and one of the others
    --region=REGION          (default us-central1)
    --machine=TYPE           of each worker (default n1-standard-8)
    --accelerator=TYPE --accelerators=N    of each worker, such as NVIDIA_TESLA_T4 and 1
    --image=IMAGE            with Python 3.11 or newer (default python:3.11)
    --spot                   cheaper machines that may be taken away: the job is then started again, and continues
    --name=NAME --project=PROJECT
    --submit                 runs the script; without it, the script is printed

The script builds the source distribution of this checkout, copies it to the bucket, and creates the job.
"""

import shlex
import sys
from collections.abc import Sequence

from launch import script
from launch.manifests import Text, to_yaml
from seedwise.errors import UserError

EXAMPLE = 'python -m launch vertex --bucket=BUCKET --workers=2 -- python -m trainer.main --config=configs/cnn_nadam.py'

SCRIPT = """\
#!/bin/bash
# Creates a Vertex AI custom job: bash FILE, in the folder of the checkout
# Follow:    gcloud ai custom-jobs list {place}, then gcloud ai custom-jobs stream-logs JOB {place}
# Stop:      gcloud ai custom-jobs cancel JOB {place}
# Continue:  the same again: the bucket's {folder}/runs holds what is finished
set -euo pipefail

{python} setup.py --quiet sdist
gcloud storage cp dist/{sdist} requirements.txt gs://{folder}/{name}/
gcloud ai custom-jobs create {place} --display-name={name} --config=/dev/stdin <<'END'
{spec}END
"""


def main(argv: list[str]) -> int:
    """Prints or runs the script; returns the exit code."""
    options, command = parse(argv)
    name = options.name or script.name_of(command)
    place = f'--region={options.region}' + (f' --project={options.project}' if options.project else '')
    sdist = script.source_distribution()
    text = SCRIPT.format(
        place=place,
        folder=f'{options.bucket}/seedwise',
        python=script.quote(sys.executable) if options.submit else 'python',
        sdist=sdist,
        name=name,
        spec=to_yaml(job_spec(options, command, name, sdist)),
    )
    if not options.submit:
        print(text, end='')
        return 0
    return script.run(text)


def parse(argv: list[str]):
    """Returns the flags and the command. Raises `UserError` if one of them cannot be used."""
    parser = script.Parser(__doc__, EXAMPLE)
    parser.add_argument('--bucket', type=script.matching('[a-z0-9][-_.a-z0-9]+[a-z0-9]', 'my-bucket'), required=True)
    parser.add_argument('--workers', type=script.whole_number(1, 1000), default=1)
    parser.add_argument('--region', type=script.matching('[a-z]+-[a-z]+[0-9]+', 'us-central1'), default='us-central1')
    parser.add_argument('--machine', type=script.matching('[a-z0-9-]+', 'n1-standard-8'), default='n1-standard-8')
    parser.add_argument('--accelerator', type=script.matching('[A-Z0-9_]+', 'NVIDIA_TESLA_T4'))
    parser.add_argument('--accelerators', type=script.whole_number(1, 16))
    parser.add_argument('--image', type=script.image, default='python:3.11')
    parser.add_google_cloud_flags()
    options, command = parser.parse(argv)
    if options.accelerators and not options.accelerator:
        raise UserError('--accelerators needs --accelerator=TYPE as well, such as NVIDIA_TESLA_T4')
    if options.workers > 1 and 'trainer.compare' in command:
        raise UserError('a study runs on one machine of Vertex AI, and on all its cores: leave --workers out')
    script.check_unicode(command, 'a job')
    return options, command


def job_spec(options, command: Sequence[str], name: str, sdist: str) -> dict:
    """Returns the API's CustomJobSpec, with field names as in JSON."""
    machine: dict = {'machineType': options.machine}
    if options.accelerator:
        machine |= {'acceleratorType': options.accelerator, 'acceleratorCount': options.accelerators or 1}
    # Vertex AI mounts Cloud Storage at /gcs.
    folder = f'/gcs/{options.bucket}/seedwise'
    package = f'{folder}/{name}/{sdist}' + ('[gpu]' if options.accelerator else '')
    # Not a pythonPackageSpec: the images that it takes have Python 3.10, and seedwise needs 3.11.
    install = ['pip', 'install', '--quiet', f'--constraint={folder}/{name}/requirements.txt', package]
    # Kubernetes, which runs it, replaces $(NAME), and $$ by $: behind each $ the quotes are closed and opened again.
    words = shlex.join(command).replace('$', "$''")
    container = {
        'imageUri': options.image,
        'command': ['bash', '-c'],
        'args': [Text(f'{script.join(install)} && cd {folder} && exec {words}')],
        'env': [{'name': 'TFDS_DATA_DIR', 'value': f'{folder}/data'}],
    }
    if options.accelerator:
        # Where Vertex AI puts NVIDIA's driver, which images that were not made for GPUs do not look into.
        container['env'].append({'name': 'LD_LIBRARY_PATH', 'value': '/usr/local/nvidia/lib64'})
    # TF_CONFIG, which Vertex AI sets, calls the first pool the chief and the second the workers.
    counts = [1, options.workers - 1] if options.workers > 1 else [1]
    scheduling: dict = {'restartJobOnWorkerRestart': True}  # the others cannot go on without the one that was lost
    if options.spot:
        scheduling['strategy'] = 'SPOT'
    pools = [{'machineSpec': machine, 'replicaCount': count, 'containerSpec': container} for count in counts]
    return {'workerPoolSpecs': pools, 'scheduling': scheduling}
