"""How shards divide the runs of a study."""

from pathlib import Path

import pytest

from configs.studies import raj_optimizers_losses
from trainer.compare import grid, study
from trainer.compare.engines.worker import program_key


@pytest.fixture(scope='module')
def specs() -> list[grid.RunSpec]:
    """42 runs."""
    config = raj_optimizers_losses.get_config()
    config.seeds = 2
    grid.prepare(config, {})
    return grid.runs_of(grid.variants_of(config), grid.seeds_of(config), Path('study'))


@pytest.mark.parametrize('count', [1, 2, 3, 8, 21, 50])
def test_each_run_is_in_one_shard_and_all_have_as_many(specs, count):
    parts = [study.part(specs, index, count) for index in range(count)]
    assert sorted(spec.name for part in parts for spec in part) == sorted(spec.name for spec in specs)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    # 7 programs, one for each optimizer: its three losses are one function. At each border between shards one is cut.
    compiled = [{program_key(spec.config) for spec in part} for part in parts]
    assert sum(map(len, compiled)) <= 7 + count - 1
