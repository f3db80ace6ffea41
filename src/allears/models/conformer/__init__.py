"""The log-mel Conformer: the model, and its conversion to and from `transformers.Wav2Vec2BertModel`."""
