"""A self-exiting `.tflite` on a Raspberry Pi: `pip install ai-edge-litert numpy` is all it takes.

    python examples/raspberry_pi.py model.tflite images.npy

images.npy holds (images, height, width, channels) in the units that the network was trained on,
float. Printed are class, score and exit of each image.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main(model: str, images: str) -> None:
    network = Interpreter(model).get_signature_runner()
    ((name, takes),) = network.get_input_details().items()
    scale, zero_point = takes["quantization"]
    for image in np.load(images).astype(np.float32):
        steps = np.rint(image / np.float32(scale)) + zero_point
        found = network(**{name: np.clip(steps, -128, 127).astype(np.int8)[None]})
        scores = (found["scores"][0].astype(int) + 128) / 256
        print(scores.argmax(), scores.max(), found["exit"][0])


if __name__ == "__main__":
    main(*sys.argv[1:])
