"""Data sets of document pages: readers, synthetic pages, transforms, batches."""
