"""A stand-in board and a toolchain made from package registries alone, for machines without a Jetson."""
