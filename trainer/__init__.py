"""One run from config to result (`trainer.main`), many runs to a verdict (`trainer.compare`)."""

from seedwise import machine, shadowing, signals

shadowing.check()
signals.starting()
machine.limit_blas()
