"""The user's own data: a folder of images, arrays, a table, or a function in a file.

`names` says what `config.data.name` may be, and what of it counts for a run's hash; `folder`, `arrays`, `table` and
`function` read one form each; `assemble` makes a dataset of what they read; `store` keeps what takes long to read.
"""
