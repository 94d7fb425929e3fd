"""What differs between two training sets, and why. Pure: sets come as images with what they were made from."""
