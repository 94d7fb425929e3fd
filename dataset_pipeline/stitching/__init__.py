"""Frames of a shot placed on one canvas: panoramas and clean plates, or the reason why not."""
