"""Whole numbers in as few bytes as they need: seven bits a byte, the lowest first."""

SEVEN_BITS = 0x7F


def put(number: int, out: bytearray) -> None:
    """Append a number from 0 on."""
    while number > SEVEN_BITS:
        out.append(number & SEVEN_BITS | 0x80)
        number >>= 7
    out.append(number)


def take(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and the place after it; raises IndexError when it is cut off."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & SEVEN_BITS) << shift
        if byte <= SEVEN_BITS:
            return number, at
        shift += 7
