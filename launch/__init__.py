"""How a job reaches a cluster. Nothing here is imported by the job itself."""

from seedwise import shadowing

shadowing.check()
