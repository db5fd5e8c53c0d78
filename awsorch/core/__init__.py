"""What awsorch knows and how it decides: pure functions over immutable records.

Nothing here may use asyncio, read a clock, draw random numbers, log, or import anything but the standard library.
"""
