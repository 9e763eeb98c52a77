"""Minari datasets: where they lie, reading and writing them. This is the only package that imports minari."""
