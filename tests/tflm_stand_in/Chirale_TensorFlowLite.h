// The header that makes the Arduino build find TFLM.
#pragma once
