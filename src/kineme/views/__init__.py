"""What a network is shown: batches, crops, augmentations, streams, camera views."""
