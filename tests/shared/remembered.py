"""What is computed once: tests score the same few photographs often, and draw the same few tables."""

import os
import pickle
from collections import OrderedDict
from copy import deepcopy
from functools import wraps
from hashlib import blake2b

import numpy as np

_AT_MOST = 256  # answers, of a megabyte at most
_KEPT = []
_SCORES, _SCORES_AT_MOST = OrderedDict(), 16  # of some ten megabytes each


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


def scored_once(score_photo):
    """The function that scores a photo in a file, computed once for its bytes, name, settings and models."""

    @wraps(score_photo)
    def scored(file, settings, *, view, models, place):
        if not file.is_file() or not os.access(file, os.R_OK):
            return score_photo(file, settings, view=view, models=models, place=place)
        data = blake2b(file.read_bytes()).digest()
        seen = data, file.name, view, place, settings.model_dump_json(), id(models)
        if seen not in _SCORES:
            _SCORES[seen] = models, score_photo(file, settings, view=view, models=models, place=place)
            if len(_SCORES) > _SCORES_AT_MOST:
                _SCORES.popitem(last=False)
        _SCORES.move_to_end(seen)
        return _SCORES[seen][1]

    return scored


def remembered_by_values(function):
    """A function of plain values that computes its answer once for equal ones."""
    answers = {}

    @wraps(function)
    def told(*values, **named):
        seen = pickle.dumps((values, named))
        if seen not in answers:
            answers[seen] = function(*values, **named)
        return deepcopy(answers[seen])

    return told


def _copied(answer):
    if isinstance(answer, tuple):
        return tuple(_copied(part) for part in answer)
    return answer.copy() if isinstance(answer, np.ndarray) else answer
