"""What the training and evaluation steps are built from.

`blocks` cuts a run's data into the blocks that compiled calls take, and `scaling` brings them to what the model takes;
`mixup` and `xla` are options of the step; `collectives` sums across replicas and workers; `reports` says what a call
returns; `evaluation` keeps what metrics and pictures of mistakes need.
"""
