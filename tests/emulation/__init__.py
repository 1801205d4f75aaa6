"""The agent for another architecture, built and run under QEMU's emulation: ``make test-emulation``."""
