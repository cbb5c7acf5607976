"""How a job reaches a cluster. Nothing here is imported by the job itself."""

from seedwise import shadowing, signals

shadowing.check()
signals.starting()
