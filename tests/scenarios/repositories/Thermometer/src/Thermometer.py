from Algorithmia import ADK


class AlgorithmError(Exception):
    """Define error handling class."""

    def __init__(self, value):
        self.value = value

    def __str__(self):
        return repr(self.value)


class OutOfRange(Exception):
    error_type = "InputError"


def to_fahrenheit(celsius):
    print("converting {}".format(celsius))
    if celsius < -273.15:
        raise OutOfRange("colder than nothing: {}".format(celsius))
    return celsius * 9 / 5 + 32


# Algorithm input here
def apply(input):
    if isinstance(input, str):
        return "it is {} °F".format(to_fahrenheit(float(input)))
    if isinstance(input, list):
        return [to_fahrenheit(celsius) for celsius in input]
    raise AlgorithmError("unsupported input")


algorithm = ADK(apply)
algorithm.init([20])
