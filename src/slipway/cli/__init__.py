"""The command line: one module for each group of verbs, over `slipway.client`."""
