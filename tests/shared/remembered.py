"""Networks that compute once what they say of a picture: tests score the same few photographs often."""

from collections import OrderedDict
from functools import wraps
from hashlib import blake2b

import numpy as np

_AT_MOST = 256  # answers, of a megabyte at most
_KEPT = []


def forget():
    """Let the networks compute again: for who asks whether they say the same twice."""
    for answers in _KEPT:
        answers.clear()


def remembered(method, session):
    """A method of one picture that computes its answer once for each picture and network.

    Parameters
    ----------
    method : function
        Of models and a picture; gives arrays and numbers.
    session : str
        Attribute of the models that holds the network.
    """
    answers = OrderedDict()
    _KEPT.append(answers)

    @wraps(method)
    def read(models, picture):
        network = getattr(models, session)
        seen = (
            id(network),
            picture.shape,
            picture.dtype.str,
            blake2b(np.ascontiguousarray(picture)).digest(),
        )
        if seen not in answers:
            answers[seen] = network, method(models, picture)  # the network too: no other gets its id
            if len(answers) > _AT_MOST:
                answers.popitem(last=False)
        answers.move_to_end(seen)
        return _copied(answers[seen][1])

    return read


def _copied(answer):
    if isinstance(answer, tuple):
        return tuple(_copied(part) for part in answer)
    return answer.copy() if isinstance(answer, np.ndarray) else answer
