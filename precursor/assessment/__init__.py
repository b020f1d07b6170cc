"""`precursor evaluate`: detectors and prognoses on labelled data, always beside what is had for nothing."""
