"""What `--until-decided` saves: published studies by it, next to a fixed number of seeds. The table of docs/studies.

python -m benchmarks.until_decided docs/studies/*/runs.csv

Which runs come next is a function of the finished runs alone, and a run does not depend on those before it. So the runs
that `--until-decided` would have trained are chosen from the stored ones, and their stored times are added up: nothing is
trained. A variant gets no more seeds than were stored.
"""

import argparse
from collections import Counter
from pathlib import Path

import ml_collections
import pandas as pd

from trainer.compare import records
from trainer.compare.allocation.rounds import next_seeds
from trainer.compare.analysis.claims import pooling
from trainer.compare.analysis.claims.verdicts import Verdict, verdicts
from trainer.compare.analysis.rules import ANYTIME, FIXED
from trainer.compare.report.text.questions import claims_of, questions_of


def replay(study: ml_collections.ConfigDict, frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Returns the runs that a study by rounds ends with, out of all those that may be trained, and the number of rounds."""
    rows = {str(name): own.sort_values('seed') for name, own in frame.groupby('variant', sort=False)}
    most = max(map(len, rows.values()))
    have, rounds = dict.fromkeys(rows, 0), 0
    while True:
        seen = frame.loc[sorted(i for name, n in have.items() for i in rows[name].index[:n])]
        wanted = next_seeds(questions_of(study, seen) if rounds else [], have, most)
        wanted = {name: n for name, n in wanted.items() if n > have[name] and len(rows[name]) > have[name]}
        if not wanted:
            return seen, rounds
        have |= wanted
        rounds += 1


def judged(study: ml_collections.ConfigDict, frame: pd.DataFrame, rule: str) -> list[Verdict]:
    margins = dict(study.get('margins') or {})
    return verdicts(claims_of(study), pooling.filled(study, frame, margins, rule), None, margins, rule)


def in_words(found: list[Verdict]) -> str:
    counts = Counter(verdict.result for verdict in found)
    return ', '.join(f'{n} {result}' for result, n in sorted(counts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'runs', nargs='+', type=Path, help='runs.csv of studies that were trained with all of their seeds'
    )
    print('| study | fixed: runs; minutes | verdicts | until decided: runs; minutes | verdicts | share of the runs |')
    print('| --- | --- | --- | --- | --- | --- |')
    differ = []
    for file in parser.parse_args().runs:
        study, frame, _, _ = records.read(file)
        if study.get('tune'):
            continue  # its variants are chosen by trials: rounds are not for it
        chosen, rounds = replay(study, frame)
        fixed, decided = judged(study, frame, FIXED), judged(study, chosen, ANYTIME)
        cells = [f'{len(one)}; {one["seconds_total"].sum() / 60:.1f}' for one in (frame, chosen)]
        share = f'{len(chosen) / len(frame):.0%} in {rounds} rounds'
        print(f'| {file.parent.name} | {cells[0]} | {in_words(fixed)} | {cells[1]} | {in_words(decided)} | {share} |')
        differ += [
            f'- {file.parent.name}, `{a.claim.id}`: {a.result} by {FIXED} seeds, {b.result} until decided'
            for a, b in zip(fixed, decided, strict=True)
            if a.result != b.result
        ]
    print('\nVerdicts that differ:\n\n' + '\n'.join(differ or ['none']))


if __name__ == '__main__':
    main()
