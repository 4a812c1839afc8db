// Written by eexit-tf @version@. Do not edit: export again.

#ifndef EEXIT_@name@_MODEL_DATA_H_
#define EEXIT_@name@_MODEL_DATA_H_

/// The .tflite file, sha256 @sha256@.
extern const unsigned char g_@name@_model_data[];
extern const unsigned int g_@name@_model_data_size;

#endif  // EEXIT_@name@_MODEL_DATA_H_
