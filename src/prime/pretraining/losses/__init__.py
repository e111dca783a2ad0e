"""The losses of pretraining, one a file; `prime.catalogue.losses` lists them."""
