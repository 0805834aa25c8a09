"""Tables as text, in every format: a `Sheet` holds the texts, and one file a format writes them."""
