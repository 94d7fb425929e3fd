"""Which tags stay, and the captions made of them."""
