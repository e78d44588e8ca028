"""Finding the tables of documents with a trained network."""
