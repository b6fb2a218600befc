"""An example of a model family in a distribution of its own: posters of few colours."""
