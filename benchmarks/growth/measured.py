"""What was measured at one size, and how it grows from size to size."""

import dataclasses
import math
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Measured:
    """`seconds` and `peak_mb`, the most memory that the process had, in MiB."""

    seconds: float
    peak_mb: float


def exponents(sizes: Mapping[int, float]) -> dict[int, float]:
    """Returns, for each size except the smallest, the exponent p of growth from the size before: values as size ** p.

    1 is linear. What is constant, such as the start of the process, is not subtracted, so that small sizes show less.
    """
    rising = sorted(sizes.items())
    return {
        size: math.log(value / before) / math.log(size / smaller)
        for (smaller, before), (size, value) in zip(rising, rising[1:], strict=False)
    }


def table(what: str, unit: str, columns: Mapping[str, Mapping[int, Measured]]) -> str:
    """Returns a table in Markdown: sizes down, what was measured across, with the exponent of its time.

    Args:
      what: name of the sizes, such as 'examples'.
      unit: of the time, such as 's an epoch'.
      columns: name -> size -> measured.
    """
    lines = [
        f'| {what} | {" | ".join(f"{name}: {unit} | exponent | MB" for name in columns)} |',
        f'| --- |{" --- | --- | --- |" * len(columns)}',
    ]
    growth = {name: exponents({size: one.seconds for size, one in of.items()}) for name, of in columns.items()}
    for size in sorted({size for of in columns.values() for size in of}):
        cells = [f'{size:,}']
        for name, of in columns.items():
            one, power = of.get(size), growth[name].get(size)
            cells += [f'{one.seconds:.2f}' if one else '', '' if power is None else f'{power:.2f}']
            cells.append(f'{one.peak_mb:,.0f}' if one else '')
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)
