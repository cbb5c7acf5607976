"""Runs a command on a Cloud TPU: `python -m launch tpu --zone=ZONE [FLAG...] -- COMMAND ARG...`

    --zone=ZONE              such as us-west4-a
    --type=TYPE              (default v5litepod-8)
    --runtime=VERSION        of the TPU VM (default v2-alpha-tpuv5-lite). A slice of several VMs takes one whose name ends in
                             -pod-pjrt, with the TensorFlow of requirements-tpu.txt
    --queued                 waits in Google's queue for the TPU (a queued resource), instead of failing where none is free
    --spot                   cheaper, and may be taken away
    --name=NAME --project=PROJECT
    --submit                 runs the script; without it, the script is printed

The script creates the TPU, installs the checkout on all its VMs, and starts the command on the first one.
"""

import shlex
import sys
from collections.abc import Sequence

from launch import script

EXAMPLE = 'python -m launch tpu --zone=us-west4-a -- python -m trainer.main --config=configs/cnn_nadam.py'

SCRIPT = """\
#!/bin/bash
# Trains on a Cloud TPU: bash FILE, in the folder of the checkout. It is paid for until it is deleted.
# Follow:    gcloud compute tpus tpu-vm ssh {name} {place} --worker=0 --command='tail -F {name}.log'
# Results:   gcloud compute tpus tpu-vm scp --recurse {name}:runs . {place} --worker=0
# Stop:      gcloud compute tpus tpu-vm ssh {name} {place} --worker=0 --command='pkill -TERM --pidfile {name}.pid'
# Continue:  the last command of this file
# Delete:    {delete}
set -euo pipefail

{create}
{python} setup.py --quiet sdist
gcloud compute tpus tpu-vm scp dist/{sdist} requirements-tpu.txt {name}: {place} --worker=all
gcloud compute tpus tpu-vm ssh {name} {place} --worker=all --command={install}
gcloud compute tpus tpu-vm ssh {name} {place} --worker=0 --command={start}
"""

WAIT = """
until state=$(gcloud compute tpus queued-resources describe {name} {place} --format='value(state.state)')
    echo "$state" && [[ $state = ACTIVE ]]; do
    [[ $state =~ FAILED|SUSPENDED ]] && exit 1
    sleep 30
done"""

INSTALL = """\
sudo apt-get -qq update && sudo apt-get -qq install -y python3.11-venv && python3.11 -m venv venv && \
venv/bin/pip install --quiet -r requirements-tpu.txt && venv/bin/pip install --quiet --no-deps {sdist}"""


def main(argv: list[str]) -> int:
    """Prints or runs the script; returns the exit code."""
    parser = script.Parser(__doc__, EXAMPLE)
    parser.add_argument('--zone', type=script.matching('[a-z]+-[a-z]+[0-9]+-[a-z]', 'us-west4-a'), required=True)
    parser.add_argument('--type', type=script.matching('[a-z0-9-]+', 'v5litepod-8'), default='v5litepod-8')
    parser.add_argument(
        '--runtime', type=script.matching('[a-z0-9.-]+', 'v2-alpha-tpuv5'), default='v2-alpha-tpuv5-lite'
    )
    parser.add_argument('--queued', action='store_true')
    parser.add_google_cloud_flags()
    options, command = parser.parse(argv)
    script.check_unicode(command, 'a command for gcloud')
    text = script_of(options, command)
    if not options.submit:
        print(text, end='')
        return 0
    return script.run(text)


def script_of(options, command: Sequence[str]) -> str:
    """Returns the bash script."""
    name = options.name or script.name_of(command)
    sdist = script.source_distribution()
    place = f'--zone={options.zone}' + (f' --project={options.project}' if options.project else '')
    machine = f'{place} --accelerator-type={options.type}' + (' --spot' if options.spot else '')
    resource = 'queued-resources' if options.queued else 'tpu-vm'
    delete = f'gcloud compute tpus {resource} delete {name} {place}' + (' --force' if options.queued else '')
    if options.queued:
        create = f'queued-resources create {name} --node-id={name} {machine} --runtime-version={options.runtime}'
        create += WAIT.format(name=name, place=place)
    else:
        create = f'tpu-vm create {name} {machine} --version={options.runtime}'
    return SCRIPT.format(
        name=name,
        place=place,
        sdist=sdist,
        delete=delete,
        create=f'gcloud compute tpus {create}',
        python=script.quote(sys.executable) if options.submit else 'python',
        install=script.quote(INSTALL.format(sdist=sdist)),
        start=script.quote(remote(command, name, slice='-pod' in options.runtime)),
    )


def remote(command: Sequence[str], name: str, *, slice: bool) -> str:
    """Returns what the first VM's shell is given: it starts the command in the background, with its output in a file.

    TensorFlow drives the TPUs of a slice of several VMs from one of them: `slice` has it ask for them by name.
    """
    environment = [f'TPU_NAME={name}', 'TPU_LOAD_LIBRARY=0'] if slice else ['TPU_NAME=local']
    words = shlex.join(['env', 'PATH=venv/bin:/usr/bin:/bin', *environment, *command])
    return f'nohup {words} >> {name}.log 2>&1 < /dev/null & echo $! > {name}.pid'
