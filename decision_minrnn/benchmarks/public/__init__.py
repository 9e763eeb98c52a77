"""Public implementations, each in the place of one of ours: the home of the libraries that we are held against."""
