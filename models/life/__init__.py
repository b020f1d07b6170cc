"""Remaining life: trends to a limit, age by Weibull, labelled histories; prognoses, and how good they were."""
