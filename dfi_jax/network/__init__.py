"""VGG networks: images in, features out; how a convolution is computed; where weights come from."""
