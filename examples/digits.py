"""The whole pipeline in user code, on the digits that scikit-learn carries.

    python examples/digits.py [model.tflite]

Trains one residual network with two heads at every tap, finds the best subset of exits and
thresholds, and compiles it into one file that leaves early by itself.
"""

import sys

import eexit_tf as ee
from eexit_tf import tflite
from eexit_tf.backbones import Stage, Stem, residual, taps


def main(output: str = "model.tflite", epochs: int = 15) -> None:
    ee.seed_everything(0)
    data = ee.load("digits")

    stages = [Stage(8, stride=1), Stage(16), Stage(32)]
    backbone = residual(data.input_shape, stem=Stem(8), stages=stages)
    heads = ("pool_dense", "grid_dense")
    exits = [ee.Exit(at=tap, head=head) for tap in taps(backbone) for head in heads]
    net = ee.attach_exits(backbone, exits, classes=data.classes)
    ee.fit(net, data.train, validation=data.validation, epochs=epochs)

    front = ee.policy_front(net, data.validation)
    point = front.knee(ee.Bounds(min_accuracy=0.9))
    print(f"{len(front)} points out of {front.evaluated_policies:,} policies; the knee is")
    print(f"  {point.val_accuracy:.2%} at {point.mean_macs:,.0f} mean MACs, validation data")

    chosen = ee.keep_exits(net, [use.exit for use in point.exits])
    multi = tflite.quantize(chosen, data.train)
    model = tflite.compile(multi, point, calibrate_on=data.validation, divisor=data.divisor)
    model.save(output)
    print(tflite.evaluate(model, data.test))
    print(tflite.evaluate(model, data.test, runtime="tflm"))


if __name__ == "__main__":
    main(*sys.argv[1:])
