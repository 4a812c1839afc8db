// Written by eexit-tf @version@. Do not edit: export again.

#include "@name@_model_data.h"

alignas(16) const unsigned char g_@name@_model_data[] = {
@bytes@
};

const unsigned int g_@name@_model_data_size = @size@;
