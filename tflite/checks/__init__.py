"""What native runtimes take on trust in a `.tflite` file, checked before they see it.

TFLM believes every index, shape and scale; a wrong one is a crash. So `flatbuffer.read` goes
through the whole file here: its `structure`, and of each of its `operators` the shapes, types and
scales, which are in `layers` and `tensors`.
"""
