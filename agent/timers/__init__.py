"""The timer sensor: rules of the four timer triggers become events, on time, in one process."""
