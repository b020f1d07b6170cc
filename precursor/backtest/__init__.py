"""`precursor backtest`: what rules would have done over readings that are there already."""
