"""Regressions and components that the statistical models are made of."""
