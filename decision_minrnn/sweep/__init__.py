"""Many trainings: a grid of settings, run in processes of their own here or on a Ray cluster, and what it came to.

`grid` plans trials, `folders` tells which are done, and `running` runs the others on the workers of `processes` or
`cluster`, while `display` shows how far they are. `results` reads scores back, `comparison` puts them side by side,
`aggregates` and `statistics` say how sure they are, `tables` and `exports` write them down.
"""
