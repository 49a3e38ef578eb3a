"""Similar pieces by picture or words: background removal, embeddings, their store, indexes and the ensemble."""
