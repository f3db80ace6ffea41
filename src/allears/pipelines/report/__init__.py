"""`report`: one page and a model card."""
