"""Files of Keras, read without Keras in a process with limits, because HDF5 is a library in C with many parsers."""
