"""Many trainings: a grid of settings, run in processes of their own here or on a Ray cluster, and what it came to.

`grid` plans trials, `folders` tells which are done, `running` runs the others on the workers of `processes` or
`cluster`, `display` shows how far they are. `results` reads scores back, `statistics` says how sure they are, and
`tables` writes them down.
"""
