"""Near-duplicate images: the same pixels, turned or mirrored, shifted a little, brighter or darker, compressed.

- `wave_vectors`  the low spatial frequencies that describe an image, and what turning an image does to them
- `spectrum`      the windowed Fourier coefficients of an image at these frequencies
- `thumbnail`     the image at 64x64 pixels, and what compression may change of each of its blocks
- `descriptor`    a description of fixed size: coefficients, a signature that turning does not change, a thumbnail, a
                  pixel digest
- `candidates`    pairs with similar signatures, by blocked matrix products
- `alignment`     the orientation and the shift that fit a pair best, and the correlation after them
- `verification`  whether aligned pairs agree block by block, and are not merely shifted along an edge
- `find`          near-duplicate pairs among many images
"""
