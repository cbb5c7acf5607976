"""Work that takes long, and must not grow on the way: memory, open files, files in its folder, and time.

python -m tests.faults.long --runs=2000    a study of so many runs of a second
python -m tests.faults.long --hours=8      a tiny run with as many evaluations and checkpoints as one of 8 hours

Prints a table of samples and a verdict for each quantity. What grows is told by the Theil-Sen slope over the last three
quarters of the samples: the lower end of its 95% interval, over all of them, is above the tolerance. Exit codes: 0 nothing
grows, 1 something does, or the work failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from scipy import stats

from tests.helpers import ROOT, last_checkpoint, study_text

#: Of an 8-hour run: an epoch of the default CNN on MNIST takes some 20 s on 2 cores of an x86 CPU; a checkpoint is written
#: each minute (`checkpoint.every_seconds`).
EPOCH_SECONDS, CHECKPOINT_SECONDS = 20, 60

#: Steps of an epoch on the bundled digits, of which 1,337 train, in batches of 128.
STEPS = 11

#: Samples that are taken, and rows that are printed of them.
SAMPLES, ROWS = 80, 20

#: Quantity -> what may be its growth from the first to the last sample, as a part of its median.
TOLERANCES = {'main MiB': 0.1, 'workers MiB': 0.1, 'open files': 0.1, 'files': 0.1, 'CPU s each': 0.2}


@dataclass(frozen=True)
class Sample:
    """What there is when so much is done. `values`: by the names of `TOLERANCES`."""

    done: int
    seconds: float
    values: dict[str, float]


def study(folder: Path, runs: int) -> tuple[list[str], Callable[[], int], bool]:
    """Returns the command of a study, what says how many of its runs are finished, and that files are counted by the run."""
    text = study_text(
        'config.base.model.hidden = (8,)',
        'config.base.epochs, config.base.threads = 1, 1',
        "config.axes = {'optimizer': {name: {'optimizer': {'name': name}} for name in ('Adam', 'SGD')}}",
        f'config.seeds = {(runs + 1) // 2}',
    )
    (folder / 'study.py').write_text(text, encoding='utf-8')
    words = ['-m', 'trainer.compare', f'--study={folder}/study.py', f'--workdir={folder}/work', '--workers=1']
    return words, lambda: sum(1 for _ in (folder / 'work').glob('*/*/result.json')), True


def run(folder: Path, hours: float) -> tuple[list[str], Callable[[], int], bool]:
    """Returns the same for a run, and the number of its steps."""
    epochs, checkpoints = int(3600 * hours / EPOCH_SECONDS), int(3600 * hours / CHECKPOINT_SECONDS)
    fields = {
        'data.name': 'digits', 'data.validation': 100, 'model.hidden': '(8,)', 'threads': 1, 'epochs': max(1, epochs),
        'checkpoint.every_seconds': 0, 'checkpoint.every_steps': max(1, STEPS * epochs // max(1, checkpoints)),
    }  # fmt: skip
    words = [f'--config.{name}={value}' for name, value in fields.items()]
    workdir = folder / 'work'
    command = ['-m', 'trainer.main', f'--config={ROOT}/configs/mlp_adam.py', *words, f'--workdir={workdir}']
    return command, lambda: last_checkpoint(workdir), False


def sampled(words: list[str], folder: Path, done: Callable[[], int], total: int, each: bool) -> Iterator[Sample]:
    """Runs a command, and yields a sample whenever another part of the whole is done. `each`: files are counted by the unit.

    Raises:
      SystemExit: the command failed.
    """
    with open(folder / 'said', 'w', encoding='utf-8') as said:
        process = psutil.Popen([sys.executable, *words], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
    last, began, step = 0, time.monotonic(), max(1, total // SAMPLES)
    then = 0.0
    try:
        while process.poll() is None:
            if (now_done := done()) < last + step:
                time.sleep(0.1)
                continue
            now = time.monotonic()
            files = sum(len(names) for _, _, names in os.walk(folder / 'work'))
            try:
                workers = process.children(recursive=True)
                cpu = cpu_seconds([process, *workers])
                values = {
                    'main MiB': process.memory_info().rss / 2**20,
                    'workers MiB': max([worker.memory_info().rss / 2**20 for worker in workers], default=0),
                    'open files': process.num_fds() + sum(worker.num_fds() for worker in workers),
                    'files': files / now_done if each else files,
                    'CPU s each': (cpu - then) / (now_done - last),
                }
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue  # one of them has just ended
            yield Sample(now_done, now - began, values)
            last, then = now_done, cpu
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        print((folder / 'said').read_text(encoding='utf-8')[-3000:])
        raise SystemExit(1)


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Returns the CPU time of processes and of those that they waited for, which a busy machine changes little."""
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def growth(samples: list[Sample], name: str) -> tuple[float, float, float]:
    """Returns by what part of its median a quantity grows over the last three quarters of the samples, with a 95% interval.

    The Theil-Sen slope (Sen 1968), which single slow samples do not move, times the span.
    """
    kept = samples[len(samples) // 4 :]
    values = [sample.values[name] for sample in kept]
    middle = sorted(values)[len(values) // 2] or 1.0
    slope, _, low, high = stats.theilslopes(values, [sample.done for sample in kept], 0.95)
    span = kept[-1].done - kept[0].done
    return slope * span / middle, low * span / middle, high * span / middle


def verdicts(samples: list[Sample]) -> Iterator[tuple[str, bool]]:
    """Yields a line on each quantity, and whether it grows."""
    for name, tolerance in TOLERANCES.items():
        share, low, high = growth(samples, name)
        grows = low > tolerance
        yield f'{name}: {share:+.1%} [{low:+.1%}, {high:+.1%}]: {"GROWS" if grows else "does not grow"}', grows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=int, default=0, help='of a study, at least 40')
    parser.add_argument('--hours', type=float, default=0, help='that a run stands for, at least 0.5')
    flags = parser.parse_args()
    if (flags.runs > 0) == (flags.hours > 0) or 0 < flags.runs < 40 or 0 < flags.hours < 0.5:
        print('error: give either --runs, 40 or more, or --hours, 0.5 or more', file=sys.stderr)
        return 2
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix='seedwise-long-') as name:
        folder = Path(name)
        words, done, each = study(folder, flags.runs) if flags.runs else run(folder, flags.hours)
        total = flags.runs or STEPS * int(3600 * flags.hours / EPOCH_SECONDS)
        print(f'| {"runs" if flags.runs else "steps"} | s | {" | ".join(TOLERANCES)} |', '|' + ' --- |' * 7, sep='\n')
        for i, sample in enumerate(sampled(words, folder, done, total, each)):
            samples.append(sample)
            if i % (SAMPLES // ROWS) == 0:
                values = ' | '.join(f'{value:.4g}' for value in sample.values.values())
                print(f'| {sample.done} | {sample.seconds:.0f} | {values} |', flush=True)
    if len(samples) < ROWS:
        print(f'it ended after {len(samples)} samples: too few to say whether anything grows', file=sys.stderr)
        return 1
    found = [*verdicts(samples)]
    print('', *(line for line, _ in found), sep='\n')
    return 1 if any(grows for _, grows in found) else 0


if __name__ == '__main__':
    sys.exit(main())
