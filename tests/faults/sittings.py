"""What a campaign has done so far, in a file: it is done in several sittings, and a kill costs the turn under way."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seedwise.errors import UserError
from trainer import results
from trainer.machine import provenance

#: Load average a core from which a machine is overloaded: what hung on it may have been slow only.
OVERLOADED = 3.0


class Sittings:
    """The seed of a campaign, and what each part tried and found. With a `file`, all of it is kept there.

    `parts`: name -> `tried` (faults made), `turns`, `seconds`, `found` (a list) and `sent` (`kills`: scenario -> signal ->
    number). What was found has its `turn`, `text`, `seconds`, and the highest `load` average a core.
    """

    def __init__(self, file: Path | None, seed: int | None, names: Sequence[str]):
        """Goes on with the campaign in the file, if there is one; names: of the parts.

        Raises:
          UserError: the file is not that of a campaign, or of one with another seed or other parts.
        """
        self.file = file
        kept = _read(file) if file else None
        self.seed: int = (seed or 0) if kept is None else kept['seed']
        fresh = {'tried': 0, 'turns': 0, 'seconds': 0.0, 'found': [], 'sent': {}}
        self.parts: dict[str, dict[str, Any]] = (
            {name: json.loads(json.dumps(fresh)) for name in names} if kept is None else kept['parts']
        )
        self.sittings: list[dict[str, Any]] = [] if kept is None else kept['sittings']
        if seed not in (None, self.seed):
            raise UserError(f'{file} is of seed {self.seed}, not {seed}: leave out --seed, or name another --state')
        if {*names} != {*self.parts}:
            raise UserError(
                f'{file} is of the parts {",".join(self.parts)}, not {",".join(names)}: '
                f'give --only={",".join(self.parts)}, or name another --state'
            )

    @property
    def seconds(self) -> float:
        """Seconds that all turns took."""
        return sum(part['seconds'] for part in self.parts.values())

    @property
    def found(self) -> int:
        return sum(len(part['found']) for part in self.parts.values())

    def begin(self) -> None:
        """Notes when a sitting began, and of which version of the code it is."""
        began = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
        self.sittings.append({'began': began, 'git_revision': provenance.environment()['git_revision']})

    def note(self, name: str, tried: int, seconds: float, sent: Mapping[str, Mapping[str, int]]) -> None:
        """Notes a turn of a part."""
        part = self.parts[name]
        part['tried'] += tried
        part['turns'] += 1
        part['seconds'] += seconds
        for scenario, signals in sent.items():
            counts = part['sent'].setdefault(scenario, {})
            for signal, count in signals.items():
                counts[signal] = counts.get(signal, 0) + count
        self.keep()

    def keep(self) -> None:
        if self.file:
            content = {'seed': self.seed, 'minutes': self.seconds / 60, 'sittings': self.sittings, 'parts': self.parts}
            results.write_json(self.file, content)

    def summary(self) -> Iterator[str]:
        """Yields the lines of what was tried and found."""
        yield f'seed {self.seed}, {self.seconds / 60:.0f} minutes; sittings: {len(self.sittings)}'
        yield from (f'- {one["began"]} of revision {one["git_revision"]}' for one in self.sittings)
        yield from ('', '| part | minutes | turns | tried | survived | found | of them hung |', '|' + ' --- |' * 7)
        for name, part in self.parts.items():
            count = len(part['found'])
            hung = sum(hangs(fault['text']) for fault in part['found'])
            minutes, survived = part['seconds'] / 60, part['tried'] - count
            yield f'| {name} | {minutes:.0f} | {part["turns"]:,} | {part["tried"]:,} | {survived:,} | {count} | {hung} |'
        yield from self._signals()
        for name, part in self.parts.items():
            for fault in part['found']:
                first = fault['text'].splitlines()[0][:120]
                yield f'\n{name}, turn {fault["turn"]} ({surroundings(fault)}): {first}'
                yield f'again: --seed={self.seed} --only={name} --turn={fault["turn"]}'
        yield f'\nfound: {self.found}'

    def _signals(self) -> Iterator[str]:
        sent = self.parts.get('kills', {}).get('sent', {})
        names = sorted({signal for signals in sent.values() for signal in signals})
        if names:
            yield from ('', f'| kills | {" | ".join(names)} |', '|' + ' --- |' * (1 + len(names)))
            for scenario, signals in sorted(sent.items()):
                yield f'| {scenario} | {" | ".join(str(signals.get(name, 0)) for name in names)} |'


def _read(file: Path) -> dict[str, Any] | None:
    kept = results.read_json(file, 'delete it to begin again')
    if kept is not None and not {'seed', 'parts', 'sittings'} <= kept.keys():
        raise UserError(f'{file} is not the state of a campaign: name another --state')
    return kept


def load() -> float:
    """Returns the load average of the last minute, a core."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def hangs(text: str) -> bool:
    """Returns whether a fault is that a command took too long."""
    return 'it hung' in text or 'TimeoutExpired' in text


def surroundings(fault: dict[str, Any]) -> str:
    """Returns words on how busy the machine was when a fault was found."""
    words = f'{fault["seconds"]:.0f} s, load {fault["load"]:.1f} a core'
    return f'{words}: overloaded, try it again' if fault['load'] > OVERLOADED else words
