"""Workers of a batch that are no processes: each process takes a second or two before its first photo."""


class Here:
    """Stands in for `LocalWorkers` where it is tested what becomes of outcomes, and not who makes them."""

    def __init__(self, setup, models, count=1, time_limit_s=0.0):
        self.setup, self.models = setup, models

    def outcomes(self, jobs):
        from masi_vision.batch.job import score_job  # not of every test

        for job in jobs:
            yield score_job(job, self.setup, self.models)
