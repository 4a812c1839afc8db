set(EEXIT_CPU -mcpu=cortex-m4 -mfloat-abi=hard)
set(EEXIT_BOARD_SOURCES ../mps/board.cc ../mps/startup.cc)
set(EEXIT_BOARD_INCLUDES . ../mps)
set(EEXIT_BOARD_LINKER_SCRIPT link.ld)
