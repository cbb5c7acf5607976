"""One run from config to result (`trainer.main`), many runs to a verdict (`trainer.compare`)."""

from seedwise import machine, shadowing

shadowing.check()
machine.limit_blas()
