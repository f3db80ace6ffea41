"""`report`: one page, a model card and a datasheet."""
