"""Tasks on top of an encoder: small torch modules of encoder, head, loss and prediction."""
