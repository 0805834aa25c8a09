"""What each term of a loss is worth: the 2 x 2 of two terms, or the 2 x 2 x 2 beside another mode."""
