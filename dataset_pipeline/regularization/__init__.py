"""Regularization sets: which pictures a class asks for, which stay, how faces and hands are mended."""
