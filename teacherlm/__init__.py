"""From a labelled dataset and a large teacher to a small student that reasons better, and the proof of it."""
