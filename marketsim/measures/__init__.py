"""What is measured of a dealer's episodes: numpy and scipy only."""
