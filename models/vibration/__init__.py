"""Waveforms to features: severity by ISO bands, spectra, envelope, fault frequencies of bearings, gears and shafts."""
