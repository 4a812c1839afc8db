"""A self-exiting file as a C++ project for a toolchain.

`exporter` writes it, `projects` lays it out from the templates in `tflite/sources/`, `cpp` says the
network in C++, and `scratch` what optimised kernels need of the arena.
"""
