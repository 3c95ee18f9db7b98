"""PCA: the linear autoencoder, one per region; the baseline of every network."""
