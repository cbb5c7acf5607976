"""Which runs a study trains, where and for how long: workers, rounds of seeds, budgets and plans."""
