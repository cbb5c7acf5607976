"""Trains a run as a whole, and the same one with pauses, one of which a kill interrupts: main(['', FOLDER])."""

import json
from pathlib import Path


def main(argv: list[str]) -> int:
    """Prints when the run last paused, in ns, after each of four calls."""
    from configs import default
    from data_pipeline import sources
    from trainer.compare.engines.worker import Trainer

    config = default.get_config()
    config.data.name, config.data.validation, config.data.fallback = 'digits', 200, ''
    config.model.hidden, config.epochs, config.threads, config.tensorboard.enabled = (8,), 2, 1, False
    config.schedule.name, config.jit = 'cosine', 'off'
    trainer, root = Trainer(config, sources.locate('digits')), Path(argv[1])
    trainer.run(config, root / 'whole', False)
    for rungs in ((0.1,), (0.1, 0.5), (0.1, 0.5), (0.1, 0.5, 1.0)):
        trainer.run(config, root / 'paused', False, rungs)
        pause = root / 'paused' / 'paused.json'
        print(pause.stat().st_mtime_ns)
        if rungs == (0.1,):
            first = pause.read_bytes()
            pause.unlink()  # killed after its checkpoint
            trainer.run(config, root / 'paused', False, rungs)
            assert json.loads(pause.read_bytes())['history'] == json.loads(first)['history']
    return 0
