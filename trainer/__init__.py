"""One run from config to result (`trainer.main`), many runs to a verdict (`trainer.compare`)."""

from seedwise import shadowing

shadowing.check()
