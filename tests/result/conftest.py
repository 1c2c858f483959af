"""Hypothesis here: machines that run the suite are busy, so no example has a deadline."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "pybench", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("pybench")
