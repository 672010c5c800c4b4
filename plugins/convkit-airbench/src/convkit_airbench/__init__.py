"""The network and the recipe of "94% on CIFAR-10 in 3.29 seconds on a single GPU" (Jordan 2024, arXiv 2404.00498)."""
