"""DRAE: the residual autoencoder of the paper, trained as a GAN."""
