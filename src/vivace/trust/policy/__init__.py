"""Policy: a list of phrases that are not painted, by reason, which an operator can see, test and change."""
