"""Keys that cost little: dozens are sealed and opened, at 0.4 s each; the full cost has a file of its own."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def keys_that_cost_little(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("full_cost") is None:
            patch.setattr("masi_vision.blinding.key._COST", 2**10)
        yield
