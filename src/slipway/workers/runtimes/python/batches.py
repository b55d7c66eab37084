"""Several calls in one `apply_batch`. A batch that fails is run again one by one, so that a bad input fails alone."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple, Union

from slipway.workers.runtimes.python.failures import FATAL
from slipway.workers.runtimes.python.values import UnreadableInput, decode_input, encode_result

Outcome = Union[Tuple[bytes, bytes], BaseException]  # content type and body, or what was raised
ApplyBatch = Callable[[List[Any]], List[Any]]


def run_batch(apply_batch: ApplyBatch, calls: List[Tuple[bytes, str, bytes]]) -> List[Tuple[bytes, Outcome]]:
    """Each call and what it comes to, in their order; a call is its id, content type and body.

    Raises what ends the process.
    """
    outcomes: Dict[bytes, Outcome] = {}
    inputs: List[Tuple[bytes, Any]] = []
    for call, kind, body in calls:
        try:
            inputs.append((call, decode_input(kind, body)))
        except UnreadableInput as error:
            outcomes[call] = error
    if inputs:
        outcomes.update(_applied(apply_batch, inputs))
    return [(call, outcomes[call]) for call, _, _ in calls]


def _applied(apply_batch: ApplyBatch, inputs: List[Tuple[bytes, Any]]) -> Dict[bytes, Outcome]:
    try:
        results = apply_batch([value for _, value in inputs])
    except FATAL:
        raise
    except BaseException as error:
        if len(inputs) == 1:
            return {inputs[0][0]: error}
        found: Dict[bytes, Outcome] = {}
        for one in inputs:
            found.update(_applied(apply_batch, [one]))
        return found
    return {inputs[number][0]: _encoded(result) for number, result in enumerate(results)}


def _encoded(result: Any) -> Outcome:
    try:
        return encode_result(result)
    except FATAL:
        raise
    except BaseException as error:
        return error
