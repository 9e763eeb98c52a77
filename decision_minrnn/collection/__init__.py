"""Recording datasets: policies trained with SAC, or read from files, rolled out and written down.

`tiers` says what a tier of data is and makes one; `training` trains, `sac` is the learner, `actor` what it learns,
`recording` rolls anything that acts.
"""
