"""What Slipway is measured beside; each file is started as a process of its own."""
