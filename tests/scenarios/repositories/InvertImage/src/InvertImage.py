import io


def apply(input):
    """Inverts a binary PGM image."""
    if not isinstance(input, (bytes, bytearray)):
        raise ValueError("expected the bytes of an image, got {}".format(type(input).__name__))
    stream = io.BytesIO(input)
    header = b"".join(stream.readline() for _ in range(3))
    if not header.startswith(b"P5"):
        raise ValueError("not a PGM image")
    pixels = bytearray(stream.read())
    for i in range(len(pixels)):
        pixels[i] = 255 - pixels[i]
    return bytearray(header) + pixels
