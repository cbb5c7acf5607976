"""How many seeds a variant gets where they are added until decided."""

import ml_collections

from seedwise.errors import UserError
from trainer.compare import grid

#: Seeds that each variant gets before the first look: the fewest with which the anytime rule decides anything.
LEAST = 4

#: Seeds that a variant gets at the most where nobody says it: so many, or a multiple of what the study names.
MOST, TIMES_THE_STUDYS = 30, 3


def with_most_seeds(config: ml_collections.ConfigDict, most: int | None) -> None:
    """Sets the seeds of a study to those that its variants may get: its own first.

    Args:
      config: of the study, prepared; changed in place.
      most: how many; None: `MOST`, or `TIMES_THE_STUDYS` times as many as the study names.

    Raises:
      UserError: they are too few for a verdict.
    """
    own = grid.seeds_of(config)
    most = max(MOST, TIMES_THE_STUDYS * len(own)) if most is None else most
    if not LEAST <= most <= grid.MOST_SEEDS:
        raise UserError(
            f'--seeds is {most}: with --until-decided it is the most seeds of a variant, from {LEAST} to {grid.MOST_SEEDS:,}'
        )
    first = max(own) + 1
    with config.unlocked(), config.ignore_type():
        config.seeds = tuple([*own, *range(first, first + most)][:most])
