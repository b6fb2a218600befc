"""What is not painted: a list of words, by reason, which an operator can see, test and change."""
