"""The eight scenes, one a file: a function that plays it on a stage, and in it what it expects to see."""
