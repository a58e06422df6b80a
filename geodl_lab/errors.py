"""All errors of the package: one base, and what each kind means.

A message says what was given, what was possible and what to do next.
"""


class GeodlError(Exception):
    """Base of every error that this package raises on purpose; safe to show to a user."""


class RasterError(GeodlError, ValueError):
    """A raster cannot be opened or is not usable as given."""


class BandError(RasterError):
    """The bands of a raster do not fit the bands that a model wants."""


class ModelError(GeodlError, ValueError):
    """A model is unknown, damaged or not able to do what was asked."""


class OptionError(GeodlError, ValueError):
    """An option has a value that is not possible."""


class UnknownOptionError(OptionError, TypeError):
    """There is no option of that name."""


class OutputError(GeodlError, OSError):
    """A result cannot be written where it was asked for."""


class RunError(GeodlError, RuntimeError):
    """A window failed while the model ran; the message names its position."""


class TrustError(ModelError):
    """A model file would run its own code and nobody said that it may."""


class CancelledError(GeodlError):
    """The run was cancelled by its caller."""


class AccessError(GeodlError, ValueError):
    """A file, address, job or service is not to be had: it is not there, or not for this caller."""


class BusyError(GeodlError, RuntimeError):
    """The server has too much to do; the same request may be sent again later."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of another library says, or else its kind."""
    text = str(error.__cause__ or error).strip().splitlines()
    if text and "in the TorchScript interpreter" in text[0]:  # it says what failed at its end
        text = [line.removeprefix("RuntimeError: ") for line in text[-1:]]
    return text[0] if text else type(error).__name__
